import type { OnnxNode } from '../onnx-model.ts';

/** Ends a run at the node or tensor that does not work. It never leaves the executor, which makes a diagnostic of it. */
export class ExecutionError extends Error {
  override readonly name = 'ExecutionError';
  /** Name of the node or tensor. */
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

/** How messages call a node: by its name and its operator. */
export function describeNode({ name, domain, opType }: OnnxNode): string {
  return `The node "${name}" (${domain === '' ? '' : `${domain}.`}${opType})`;
}
