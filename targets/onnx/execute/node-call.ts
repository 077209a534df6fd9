import type { Tensor } from '../../../ir/interpret/tensor.ts';
import type { OnnxAttribute, OnnxNode } from '../onnx-model.ts';

/** One node with its inputs there: what a kernel sees. Everything here throws where the node does not fit its operator. */
export interface NodeCall {
  readonly node: OnnxNode;
  /** Undefined where an optional input is left out. */
  readonly inputs: readonly (Tensor | undefined)[];
  /** An input that the operator cannot do without. */
  readonly input: (index: number) => Tensor;
  readonly int: (name: string, otherwise?: number) => number;
  readonly float: (name: string, otherwise?: number) => number;
  readonly string: (name: string, otherwise?: string) => string;
  readonly ints: (name: string) => readonly number[] | undefined;
  /** An axis as the attribute `axis` says, counted from the front. */
  readonly axis: (rank: number, otherwise?: number) => number;
}

/** Gives the outputs of a node in order; those behind the last that the node names are left out. */
export type NodeKernel = (call: NodeCall) => readonly (Tensor | undefined)[];

export function nodeCall(node: OnnxNode, inputs: readonly (Tensor | undefined)[]): NodeCall {
  const call: NodeCall = {
    node,
    inputs,
    input: (index) => inputs[index] ?? refuse(`has no input ${index}`),
    int: (name, otherwise) => attribute(node, name, 'int') ?? otherwise ?? refuse(`has no attribute ${name}`),
    float: (name, otherwise) => attribute(node, name, 'float') ?? otherwise ?? refuse(`has no attribute ${name}`),
    string: (name, otherwise) => attribute(node, name, 'string') ?? otherwise ?? refuse(`has no attribute ${name}`),
    ints: (name) => attribute(node, name, 'ints'),
    axis: (rank, otherwise) => fromFront(call.int('axis', otherwise), rank),
  };
  return call;
}

/** An axis counted from the front; ONNX lets -1 be the last one. */
export function fromFront(axis: number, rank: number): number {
  const counted = axis < 0 ? axis + rank : axis;
  return Number.isInteger(counted) && counted >= 0 && counted < rank
    ? counted
    : refuse(`has no axis ${axis} of ${rank}`);
}

/** For a node that does not fit its operator: ends its execution. The executor makes a diagnostic of it. */
export function refuse(problem: string): never {
  throw new Error(problem);
}

/** What went wrong, without its full stop. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
}

/** What an attribute of each kind holds. */
type AttributeValues = { readonly [A in Extract<OnnxAttribute, { readonly value: unknown }> as A['kind']]: A['value'] };

/** An attribute's value; undefined when the node does not have it. */
export function attribute<K extends keyof AttributeValues>(
  node: OnnxNode,
  name: string,
  kind: K,
): AttributeValues[K] | undefined {
  const found = node.attributes[name];
  if (found === undefined) return undefined;
  if (found.kind !== kind) return refuse(`has an attribute ${name} of kind ${found.kind}`);
  // The kind says which value it holds, which TypeScript cannot follow through K.
  return (found as unknown as { readonly value: AttributeValues[K] }).value;
}
