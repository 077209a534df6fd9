import type { OnnxFunction, OnnxNode } from '../../onnx/onnx-model.ts';
import type { TensorrtVersion } from '../versions.ts';
import { nodeName } from './node-facts.ts';

/** Something that TensorRT's parser refuses, or reads as something else than ONNX means. */
export interface IllegalNode {
  /** Name of the node; of the input, output, initializer or function where it is about one. */
  readonly node: string;
  /** Its operator; `input`, `output`, `initializer`, `function` or `model` where it is about one. */
  readonly op: string;
  /** The element type at fault, as TensorRT calls it. */
  readonly type?: string;
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
}

/** What a check of a model has to work with, and what it found. */
export interface Check {
  readonly version: TensorrtVersion;
  /** `TensorRT 10.16`. */
  readonly parser: string;
  /** Version of ai.onnx. */
  readonly opset: number;
  /** By name alone, as the parser keeps them. */
  readonly functions: ReadonlyMap<string, OnnxFunction>;
  readonly found: IllegalNode[];
}

/** @param path of calls of functions that the node is in, `call/` each */
export function reportAt(
  { found }: Check,
  node: OnnxNode,
  path: string,
): (message: string, hint: string, type?: string) => void {
  return (message, hint, type) => {
    const name = path + nodeName(node);
    // A value that two inputs read is one fault.
    if (found.some((known) => known.node === name && known.message === message)) return;
    found.push({ node: name, op: node.opType, ...(type !== undefined && { type }), message, hint });
  };
}
