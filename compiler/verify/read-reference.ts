import { resolve } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { readTensorSync } from '../../files/read-tensor.ts';
import { readSafetensors, type TensorEntry } from '../../files/safetensors.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';

/** What somebody else computed of a model: a reference.safetensors. */
export interface Reference {
  /** i64 [batch, sequence]. */
  readonly inputIds: Tensor;
  /** [batch, sequence, vocabulary]. */
  readonly logits: Tensor;
  /** The same behind earlier loops, by loop from 1. */
  readonly exitLogits: ReadonlyMap<number, Tensor>;
  /** i64 [batch, steps]: greedy continuation of the input. */
  readonly generated: Tensor | undefined;
  /** Smallest distance between the two best tokens that was met on the way. */
  readonly margin: number | undefined;
}

/**
 * Reads `input_ids`, `logits`, `exit_logits.{n}`, `generated` and `margin`, and checks that they fit each other and the
 * package.
 * @param path as the user names it
 */
export async function readReference(path: string, manifest: PackageManifest): Promise<Result<Reference>> {
  const file = await readSafetensors(resolve(path), { path, shown: path });
  if (!file.ok) return file;
  const { tensors } = file.value;
  const vocabulary = manifest.config.vocab_size;
  const problems: Diagnostic[] = [];
  const wrong = (name: string, message: string) => {
    problems.push({ severity: 'error', code: 'invalid-reference', location: { file: path, path: name }, message });
  };
  const ids = tensors.get('input_ids');
  if (ids?.dtype !== 'i64' || ids.shape.length !== 2 || ids.length === 0) {
    wrong('input_ids', `"input_ids" is ${describe(ids)}; I64 [batch, sequence] was expected.`);
    return failure(...problems);
  }
  const [batch, sequence] = ids.shape as [number, number];
  const expectLogits = (name: string) => {
    const entry = tensors.get(name);
    const fits = entry?.dtype.startsWith('f') && `${entry.shape}` === `${[batch, sequence, vocabulary]}`;
    if (!fits) wrong(name, `"${name}" is ${describe(entry)}; F32 [${batch}, ${sequence}, ${vocabulary}] was expected.`);
  };
  expectLogits('logits');
  const exits = [...tensors.keys()].flatMap((name) => {
    const n = /^exit_logits\.([1-9]\d*)$/.exec(name)?.[1];
    return n === undefined ? [] : [Number(n)];
  });
  for (const n of exits) {
    expectLogits(`exit_logits.${n}`);
    if (n < manifest.recursion.loops) continue;
    wrong(
      `exit_logits.${n}`,
      `"exit_logits.${n}" is behind loop ${n}, but the model leaves its last loop after ${manifest.recursion.loops}.`,
    );
  }
  const generated = tensors.get('generated');
  if (generated && (generated.dtype !== 'i64' || generated.shape.length !== 2 || generated.shape[0] !== batch)) {
    wrong('generated', `"generated" is ${describe(generated)}; I64 [${batch}, steps] was expected.`);
  }
  const margin = tensors.get('margin');
  if (margin && (!margin.dtype.startsWith('f') || margin.shape.length !== 0)) {
    wrong('margin', `"margin" is ${describe(margin)}; F32 [] was expected.`);
  }
  if (problems.length > 0) return failure(...problems);
  try {
    const read = (entry: TensorEntry): Tensor =>
      makeTensor(entry.dtype, entry.shape, decodeTensor(entry.dtype, readTensorSync(resolve(path), entry)));
    const inputIds = read(ids);
    const tokens = generated && read(generated);
    for (const [name, tensor] of [['input_ids', inputIds] as const, ['generated', tokens] as const]) {
      const foreign = tensor?.data.find((id) => id < 0 || id >= Number(vocabulary));
      if (foreign !== undefined) wrong(name, `"${name}" has the token ${foreign}; the model has ${vocabulary} tokens.`);
    }
    if (problems.length > 0) return failure(...problems);
    return success({
      inputIds,
      logits: read(tensors.get('logits')!),
      exitLogits: new Map(exits.sort((a, b) => a - b).map((n) => [n, read(tensors.get(`exit_logits.${n}`)!)])),
      generated: tokens,
      margin: margin && read(margin).data[0]!,
    });
  } catch (error) {
    return failure(fileDiagnostic(error, { file: path }, 'read'));
  }
}

function describe(entry: TensorEntry | undefined): string {
  return entry === undefined ? 'not there' : `${entry.dtype.toUpperCase()} [${entry.shape.join(', ')}]`;
}
