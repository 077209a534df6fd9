import { failure, type Result, success } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { mainGraph } from '../../files/package.ts';
import type { StepShape } from './step-model.ts';

/**
 * What the step graph of a package is. Fails for packages of another form, and for bfloat16, which ONNX Runtime's CPU
 * provider cannot compute.
 */
export function stepShape(manifest: PackageManifest): Result<StepShape> {
  const { form, dialect, name, cache, recursion, exits, precision } = manifest;
  if (form !== 'depth-batched') {
    return failure({
      severity: 'error',
      code: 'unsupported-form',
      message: `"${name}" is a package of the form "${form}"; one of the form "depth-batched" is needed here.`,
      hint: 'Compile the model with --form depth-batched.',
    });
  }
  const dtype = precision.compute;
  if (dtype === 'bf16') {
    return failure({
      severity: 'error',
      code: 'unsupported-precision',
      message: `"${name}" computes in bfloat16, and ONNX Runtime's CPU provider cannot.`,
      hint: 'Compile the model with --precision f32 or f16.',
    });
  }
  const { prelude, block, loops, coda } = recursion;
  const { inputs, outputs } = mainGraph(manifest);
  const sizeOf = (tensors: typeof inputs, tensor: string) =>
    Number(tensors.find((declared) => declared.name === tensor)?.dims.at(-1));
  return success({
    ...{ prelude, block, loops, coda },
    hiddenSize: sizeOf(inputs, 'hidden'),
    vocabulary: sizeOf(outputs, 'logits'),
    kvHeads: cache.heads,
    headDim: cache.headDim,
    pageSize: cache.pageSize!,
    groups: cache.groups ?? 1,
    neverEmpty: dialect === 'tensorrt',
    dtype,
    exits: exits?.after ?? [],
  });
}
