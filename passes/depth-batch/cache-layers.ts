import type { Graph, LoopOp, Op, OpOf, Value } from '../../ir/graph.ts';
import { formatType } from '../../ir/tensor-type.ts';
import { downstream } from '../insert-exit-heads/exit-tail.ts';
import { Refusal } from '../refusal.ts';
import type { StoredLayers } from '../stack-cache.ts';

/** A layer that keeps keys and values. */
export interface CacheLayer {
  /** Number of the layer as it is stored, prelude first. */
  readonly stored: number;
  /** New entries as they are kept, [batch, kv_heads, sequence, head_dim]. */
  readonly key: Value;
  readonly value: Value;
}

/** The layers of a decoder that keep keys and values, in order, and which of them each attention looks back into. */
export interface CacheLayers {
  readonly prelude: readonly CacheLayer[];
  readonly block: readonly CacheLayer[];
  readonly coda: readonly CacheLayer[];
  readonly readBy: ReadonlyMap<Op, CacheLayer>;
}

type Part = 'prelude' | 'block' | 'coda';

/** What an attention looks back into: a cache as the graph is given it, grown by new entries. */
interface Grown {
  /** Of `past_key_values.{i}`; in a loop that of depth 0. */
  readonly number: number;
  readonly fresh: Value;
}

interface Found {
  readonly part: Part;
  readonly number: number;
  readonly key: Value;
  readonly value: Value;
  readonly readers: OpOf<'attention'>[];
}

/**
 * Finds every `attention` over a cache that grew: `concat(past_key_values.{i}.key, new)`, and the same of values.
 * @throws Refusal where attention looks at anything else, or the layers are not those that the model has
 */
export function findCacheLayers(
  graph: Graph,
  loop: LoopOp | undefined,
  makers: ReadonlyMap<Value, Op>,
  expected: StoredLayers,
): CacheLayers {
  const behindLoop = loop ? downstream(graph.ops, new Set(loop.results)) : new Set<Op>();
  const partOf = (op: Op): Part => (!loop ? 'block' : behindLoop.has(op) ? 'coda' : 'prelude');
  const found = new Map<string, Found>();
  const problems: string[] = [];
  const visit = (op: Op, part: Part): void => {
    if (op.kind !== 'attention') return;
    const key = grownCache(op.operands[1]!, 'key', loop, makers);
    const value = grownCache(op.operands[2]!, 'value', loop, makers);
    if (!key || !value || key.number !== value.number) {
      const [keys, values] = [op.operands[1]!, op.operands[2]!].map(({ name, type }) => `%${name} ${formatType(type)}`);
      problems.push(
        `The attention in "${op.scope}" is over ${keys} and ${values}; pages can stand for past_key_values.{i} joined with what is new, and nothing else.`,
      );
      return;
    }
    const id = `${part} ${key.number}`;
    const known = found.get(id);
    if (!known) found.set(id, { part, number: key.number, key: key.fresh, value: value.fresh, readers: [op] });
    else if (known.key === key.fresh && known.value === value.fresh) known.readers.push(op);
    else problems.push(`The cache past_key_values.${key.number} grows twice, in "${op.scope}" again.`);
  };
  for (const op of graph.ops) {
    if (op.kind === 'loop') for (const inner of op.body.ops) visit(inner, 'block');
    else visit(op, partOf(op));
  }
  if (problems.length > 0) throw new Refusal(...problems);
  return numbered([...found.values()], loop ? expected : asOneBlock(expected));
}

/** What a model whose block runs once is to whoever runs it in steps: one block. */
export function asOneBlock({ prelude, block, coda }: Omit<StoredLayers, 'loops'>): StoredLayers {
  return { prelude: 0, block: prelude + block + coda, loops: 1, coda: 0 };
}

function numbered(found: readonly Found[], expected: StoredLayers): CacheLayers {
  const readBy = new Map<Op, CacheLayer>();
  let stored = 0;
  const part = (name: Part): readonly CacheLayer[] => {
    const layers = found.filter((layer) => layer.part === name).sort((a, b) => a.number - b.number);
    if (layers.length !== expected[name]) {
      throw new Refusal(
        `The graph has ${layers.length} layers with a cache in its ${name}, where the model says ${expected[name]}.`,
      );
    }
    return layers.map(({ key, value, readers }) => {
      const layer = { stored: stored++, key, value };
      for (const reader of readers) readBy.set(reader, layer);
      return layer;
    });
  };
  return { prelude: part('prelude'), block: part('block'), coda: part('coda'), readBy };
}

function grownCache(
  grown: Value,
  which: 'key' | 'value',
  loop: LoopOp | undefined,
  makers: ReadonlyMap<Value, Op>,
): Grown | undefined {
  const join = makers.get(grown);
  if (join?.kind !== 'concat' || join.attrs.axis !== 2 || join.operands.length !== 2) return undefined;
  const [past, fresh] = join.operands as [Value, Value];
  const parameter = loop?.body.parameters.indexOf(past) ?? -1;
  const stack = parameter > 0 ? makers.get(loop!.operands[parameter - 1]!) : undefined;
  const input = stack?.kind === 'stack' ? stack.operands[0]! : past;
  const number = new RegExp(`^past_key_values\\.(\\d+)\\.${which}$`).exec(input.name)?.[1];
  return number === undefined || makers.has(input) ? undefined : { number: Number(number), fresh };
}
