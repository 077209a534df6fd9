import type { OnnxAttribute, OnnxNode } from '../../onnx/onnx-model.ts';
import type { TensorrtVersion } from '../versions.ts';
import type { ValueFacts } from './value-facts.ts';

/** What is wrong with a node, and what to do about it. */
export type Report = (message: string, hint: string, type?: string) => void;

/** A node with what is known of its inputs: what rules look at. */
export interface NodeFacts {
  readonly node: OnnxNode;
  readonly version: TensorrtVersion;
  /** `TensorRT 10.16`. */
  readonly parser: string;
  /** Version of ai.onnx that the model is written in. */
  readonly opset: number;
  /** Undefined where an optional input is left out. */
  readonly input: (index: number) => ValueFacts | undefined;
  readonly inputs: readonly (ValueFacts | undefined)[];
  readonly report: Report;
}

/** What an attribute of each kind holds. */
type Values = { readonly [A in Extract<OnnxAttribute, { readonly value: unknown }> as A['kind']]: A['value'] };

/** An attribute's value; undefined where the node has none of that name and kind. */
export function attributeOf<K extends keyof Values>(node: OnnxNode, name: string, kind: K): Values[K] | undefined {
  const found = Object.hasOwn(node.attributes, name) ? node.attributes[name] : undefined;
  // The kind says which value it holds, which TypeScript cannot follow through K.
  return found?.kind === kind ? (found as unknown as { readonly value: Values[K] }).value : undefined;
}

/** How messages call a node: by its name, or by what it makes. */
export function nodeName({ name, outputs, opType }: OnnxNode): string {
  return name === '' ? `${opType} -> "${outputs[0] ?? ''}"` : name;
}
