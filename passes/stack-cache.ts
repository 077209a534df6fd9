import { graphBuilder } from '../ir/builder.ts';
import { definitions, type Graph, type Op, uses, type Value } from '../ir/graph.ts';
import { invariant } from '../ir/invariant.ts';
import { copyOps } from '../ir/rewrite.ts';
import { tensor } from '../ir/tensor-type.ts';
import type { Pass } from './pass.ts';

/** How many layers are stored, and how often those of the block run. */
export interface StoredLayers {
  readonly prelude: number;
  readonly block: number;
  readonly loops: number;
  readonly coda: number;
}

/**
 * Gives the caches of all depths of a block layer one input and one output, numbered as layers are stored.
 *
 * Given, with a block of 2 layers and 3 loops: inputs `past_key_values.{0..5}.key`, outputs `present.{0..5}.key`.
 * Result: inputs `past_key_values.{0,1}.key` and outputs `present.{0,1}.key` with a leading axis of 3, by depth. A stack
 * of a layer's caches in depth order is the input itself, and an output whose depths are selected from one value in order
 * is that value: behind fold-loop no operation is left of either.
 *
 * Invariants: prelude and coda layers get their stored number and no axis; other inputs and outputs stay, in order.
 * Edge cases: the block has its axis for one loop, too, so that packages of all models look alike. Where depths are used
 * one by one (no loop was found), they are selected and stacked.
 */
export function stackCache(layers: StoredLayers): Pass<'folded', 'folded'> {
  return {
    name: 'stack-cache',
    options: { ...layers },
    numerics: 'exact',
    changesInterface: true,
    run: (graph, { note }) => {
      const stacked = graph.inputs.filter(({ name }) => placeOf(layers, name, 'past_key_values')?.depth === 0).length;
      note(`${stacked} caches have an axis of ${layers.loops} depths.`);
      return withStackedCaches(graph, layers);
    },
  };
}

interface CachePlace {
  /** `key` or `value`. */
  readonly part: string;
  /** Number of the layer as it is stored. */
  readonly layer: number;
  /** Undefined in prelude and coda. */
  readonly depth: number | undefined;
}

/** The layer and depth of `{prefix}.{i}.key`, where `i` counts layers as they run; undefined for other names. */
function placeOf({ prelude, block, loops, coda }: StoredLayers, name: string, prefix: string): CachePlace | undefined {
  const match = /^(.+)\.(\d+)\.(key|value)$/.exec(name);
  if (match?.[1] !== prefix) return undefined;
  const part = match[3]!;
  const running = Number(match[2]);
  invariant(
    running < prelude + block * loops + coda,
    `${name} is no cache of ${prelude + block * loops + coda} layers`,
  );
  if (running < prelude) return { part, layer: running, depth: undefined };
  const inLoop = running - prelude;
  if (inLoop >= block * loops) return { part, layer: running - block * (loops - 1), depth: undefined };
  return { part, layer: prelude + (inLoop % block), depth: Math.floor(inLoop / block) };
}

function withStackedCaches(graph: Graph<'folded'>, layers: StoredLayers): Graph<'folded'> {
  const builder = graphBuilder(graph.name);
  const mapped = new Map<Value, Value>();
  /** The new inputs of block layers, by name, and what each old input is of them. */
  const caches = new Map<string, Value>();
  const entries = new Map<Value, { readonly cache: Value; readonly depth: number }>();
  for (const input of graph.inputs) {
    const place = placeOf(layers, input.name, 'past_key_values');
    if (!place) {
      mapped.set(input, builder.input(input.name, input.type));
      continue;
    }
    const { part, layer, depth } = place;
    const name = `past_key_values.${layer}.${part}`;
    if (depth === undefined) {
      mapped.set(input, builder.input(name, input.type));
      continue;
    }
    const type = tensor(input.type.dtype, [layers.loops, ...input.type.dims]);
    const cache = caches.get(name) ?? builder.input(name, type);
    caches.set(name, cache);
    entries.set(input, { cache, depth });
  }
  for (const { value, expr } of graph.weights) mapped.set(value, builder.weight(value.name, expr));

  const stackOf = (op: Op): Value | undefined => {
    if (op.kind !== 'stack' || op.operands.length !== layers.loops) return undefined;
    const cache = entries.get(op.operands[0]!)?.cache;
    const inOrder = op.operands.every((value, depth) => {
      const entry = entries.get(value);
      return entry?.cache === cache && entry?.depth === depth;
    });
    return inOrder ? cache : undefined;
  };
  const users = uses(graph);
  const returned = new Set(graph.outputs.map(({ value }) => value));
  for (const [input, { cache, depth }] of entries) {
    const alone = returned.has(input) || users.get(input)?.some((op) => op.kind === 'loop' || !stackOf(op));
    if (!alone) continue;
    mapped.set(
      input,
      builder.inScope('cache', () => builder.add('select', [cache], { axis: 0, index: depth }, input.name)),
    );
  }

  const outputs = stackedOutputs(graph, layers);
  const kept = new Set(outputs.flatMap(({ values }) => values));
  for (const op of graph.ops) {
    const cache = stackOf(op);
    // The outputs that were selected from a stack are that stack now.
    const [result] = op.results;
    const idle = op.kind === 'select' && returned.has(result!) && !kept.has(result!) && !users.has(result!);
    if (cache) mapped.set(result!, cache);
    else if (!idle) copyOps([op], builder, mapped);
  }
  for (const { name, values, stacks } of outputs) {
    const found = values.map((value) => mapped.get(value)!);
    const output = stacks ? builder.inScope('cache', () => builder.add('stack', found, {}, name)) : found[0]!;
    builder.output(name, output);
  }
  return builder.finish('folded');
}

interface NewOutput {
  readonly name: string;
  /** One value, or those of all depths that have to be stacked. */
  readonly values: readonly Value[];
  readonly stacks: boolean;
}

function stackedOutputs(graph: Graph, layers: StoredLayers): readonly NewOutput[] {
  const byName = new Map<string, { readonly values: Value[]; readonly depths: boolean }>();
  for (const { name, value } of graph.outputs) {
    const place = placeOf(layers, name, 'present');
    const newName = place ? `present.${place.layer}.${place.part}` : name;
    const output = byName.get(newName) ?? { values: [], depths: place?.depth !== undefined };
    byName.set(newName, output);
    output.values[place?.depth ?? 0] = value;
  }
  const makers = definitions(graph);
  return [...byName].map(([name, { values, depths }]): NewOutput => {
    if (!depths) return { name, values, stacks: false };
    const selects = values.map((value) => makers.get(value));
    const source = selects[0]?.operands[0];
    const inOrder = selects.every(
      (op, depth) =>
        op?.kind === 'select' && op.attrs.axis === 0 && op.attrs.index === depth && op.operands[0] === source,
    );
    const whole = inOrder && source?.type.dims[0] === layers.loops;
    return whole ? { name, values: [source!], stacks: false } : { name, values, stacks: true };
  });
}
