import type { CompileOptions } from '../compile-options.ts';

/** Options that say how large steps are, whoever runs them. */
const sizes: ReadonlySet<string> = new Set(['maxRows', 'maxContext', 'prefillChunk']);

/**
 * Whether graphs are meant for TensorRT: those of the target of that name, and of a Triton repository for which more is
 * said of TensorRT than how large steps are. Without, ONNX Runtime runs them.
 */
export function meansTensorrt({
  target,
  tensorrt,
  dialect,
}: Pick<CompileOptions, 'target' | 'tensorrt'> & {
  readonly dialect?: CompileOptions['dialect'] | undefined;
}): boolean {
  if (target === 'tensorrt') return true;
  if (target !== 'triton' || tensorrt === undefined || dialect !== undefined) return false;
  return Object.entries(tensorrt).some(([option, value]) => value !== undefined && !sizes.has(option));
}
