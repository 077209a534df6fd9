import type { OnnxGraph, OnnxNode } from '../../targets/onnx/onnx-model.ts';

/**
 * How many node inputs read each initializer. A node whose inputs are all constant (a Cast, a Transpose or a Concat of
 * weights) is not a use but a step on the way: what is read of its output is read of the initializers in it. So a bf16
 * weight that is cast once and multiplied three times has three uses.
 */
export function initializerUses(graph: OnnxGraph): ReadonlyMap<string, number> {
  const uses = new Map<string, number>();
  // Of every constant, the initializers that it is made of.
  const roots = new Map<string, readonly string[]>();
  const visit = ({ initializers, nodes }: OnnxGraph): void => {
    for (const { name } of initializers) roots.set(name, [name]);
    for (const node of nodes) {
      const constants = node.inputs.filter((name) => roots.has(name));
      if (isStep(node) && constants.length === node.inputs.filter((name) => name !== '').length) {
        const made = [...new Set(constants.flatMap((name) => roots.get(name)!))];
        for (const output of node.outputs) roots.set(output, made);
        continue;
      }
      for (const name of constants) {
        for (const root of roots.get(name)!) uses.set(root, (uses.get(root) ?? 0) + 1);
      }
      for (const attribute of Object.values(node.attributes)) {
        if (attribute.kind === 'graph') visit(attribute.value);
      }
    }
  };
  visit(graph);
  return uses;
}

/** Control flow, and nodes without inputs (constants, random numbers), are no steps. */
function isStep({ inputs, attributes }: OnnxNode): boolean {
  return inputs.some((name) => name !== '') && Object.values(attributes).every(({ kind }) => kind !== 'graph');
}
