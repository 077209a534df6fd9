import { join } from 'node:path';
import { buildGraph, layerPlaces } from '../../compiler/architectures/build-graph.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import { readTensorSync } from '../../files/read-tensor.ts';
import type { Graph, Op, Output, Value } from '../../ir/graph.ts';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { invariant } from '../../ir/invariant.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import type { FileWeight } from '../../ir/weights.ts';

/** What one token is for one layer of attention: [kv_heads · head_dim] each. */
export interface Entry {
  readonly key: Float64Array;
  readonly value: Float64Array;
}

/** A model's source graph cut between its layers: one token at a time, in the interpreter, in float64. */
export interface ModelParts {
  /** The hidden state [hidden] that a token starts with. */
  readonly embed: (token: number) => Promise<Float64Array>;
  /**
   * One layer for one token.
   * @param stored number of the layer in the checkpoint
   * @param depth loop that it runs in, from 0; undefined outside the block
   * @param before entries of the tokens before it, by position
   */
  readonly layer: (
    stored: number,
    depth: number | undefined,
    hidden: Float64Array,
    before: readonly Entry[],
  ) => Promise<{ readonly hidden: Float64Array; readonly entry: Entry }>;
  /** Logits [vocab] of a hidden state behind the last layer. */
  readonly logits: (hidden: Float64Array) => Promise<Float64Array>;
}

/** Cuts a model apart. */
export function modelParts(model: SourceModel): ModelParts {
  const graph = buildGraph(model);
  const { kvHeads, headDim } = model.spec;
  const cache = new Map<string, Tensor>();
  const readWeight = ({ file, dtype, dims, ...range }: FileWeight) =>
    makeTensor(dtype, dims, decodeTensor(dtype, readTensorSync(join(model.folder, file), range)));
  const interpreter = (from: Value | undefined, to: readonly Output[]) =>
    createInterpreter(cut(graph, from, to), { readWeight, cache });

  // A layer ends with the sum that its scope, without the modules inside, makes last.
  const behind = (scope: string): Value => graph.ops.findLast((op) => op.scope === scope)!.results[0]!;
  const places = layerPlaces(model);
  const states = ['embed', ...places.map(({ scope }) => scope)].map(behind);
  const output = (name: string) => graph.outputs.find((o) => o.name === name)!;
  const layers = places.map(({ stored, depth, unrolled }) => ({
    stored,
    depth,
    from: states[unrolled]!,
    key: `present.${unrolled}.key`,
    value: `present.${unrolled}.value`,
    past: `past_key_values.${unrolled}`,
    run: interpreter(states[unrolled], [
      { name: 'hidden', value: states[unrolled + 1]! },
      output(`present.${unrolled}.key`),
      output(`present.${unrolled}.value`),
    ]),
  }));
  const start = interpreter(undefined, [{ name: 'hidden', value: states[0]! }]);
  const end = { from: states.at(-1)!, run: interpreter(states.at(-1)!, [output('logits')]) };

  const vector = (x: Float64Array) => makeTensor('f32', [1, 1, x.length], x);
  /** [1, kv_heads, positions, head_dim] */
  const stacked = (entries: readonly Entry[], part: keyof Entry): Tensor => {
    const data = new Float64Array(kvHeads * entries.length * headDim);
    entries.forEach((entry, position) => {
      for (let head = 0; head < kvHeads; head++) {
        const own = entry[part].subarray(head * headDim, (head + 1) * headDim);
        data.set(own, (head * entries.length + position) * headDim);
      }
    });
    return makeTensor('f32', [1, kvHeads, entries.length, headDim], data);
  };
  /** The last position of [1, kv_heads, positions, head_dim]. */
  const last = ({ shape, data }: Tensor): Float64Array => {
    const positions = shape[2]!;
    return Float64Array.from({ length: kvHeads * headDim }, (_, i) => {
      const head = Math.floor(i / headDim);
      return data[((head + 1) * positions - 1) * headDim + (i % headDim)]!;
    });
  };

  return {
    embed: async (token) =>
      (await start.run(new Map([['input_ids', makeTensor('i64', [1, 1], [token])]]))).get('hidden')!.data,
    layer: async (stored, depth, hidden, before) => {
      const layer = layers.find((l) => l.stored === stored && l.depth === depth);
      invariant(layer, `there is no layer ${stored} at depth ${depth}`);
      const outputs = await layer.run.run(
        new Map([
          [layer.from.name, vector(hidden)],
          ['attention_mask', makeTensor('i64', [1, before.length + 1], new Float64Array(before.length + 1).fill(1))],
          ['position_ids', makeTensor('i64', [1, 1], [before.length])],
          [`${layer.past}.key`, stacked(before, 'key')],
          [`${layer.past}.value`, stacked(before, 'value')],
        ]),
      );
      return {
        hidden: outputs.get('hidden')!.data,
        entry: { key: last(outputs.get(layer.key)!), value: last(outputs.get(layer.value)!) },
      };
    },
    logits: async (hidden) => (await end.run.run(new Map([[end.from.name, vector(hidden)]]))).get('logits')!.data,
  };
}

/** What makes `outputs`, with the value `from` as an input instead of what makes it. */
function cut(graph: Graph<'unrolled'>, from: Value | undefined, outputs: readonly Output[]): Graph<'unrolled'> {
  const wanted = new Set(outputs.map(({ value }) => value));
  const ops: Op[] = [];
  for (const op of graph.ops.toReversed()) {
    if (!op.results.some((result) => wanted.has(result) && result !== from)) continue;
    ops.unshift(op);
    for (const operand of op.operands) wanted.add(operand);
  }
  return {
    ...graph,
    inputs: [...(from ? [from] : []), ...graph.inputs.filter((input) => wanted.has(input))],
    ops,
    outputs,
  };
}
