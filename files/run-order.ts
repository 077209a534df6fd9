/** How the `recursion` of a model.json says which layers run. */
export type SaidRecursion =
  | {
      readonly prelude: number;
      readonly block: number;
      readonly loops: number;
      readonly coda: number;
      /** `cycle`: the block runs as a whole, again and again; `sequence`: each of its layers does, before the next one. */
      readonly order: 'cycle' | 'sequence';
    }
  | {
      /** The stored layer of each layer that runs; at least one. */
      readonly layers: readonly number[];
    };

/** Layers in the order in which they run: prelude, the block `loops` times, coda. */
export interface RunOrder {
  readonly prelude: number;
  readonly block: number;
  readonly loops: number;
  readonly coda: number;
  /** The stored layer of each one of prelude, block and coda, where they are not 0, 1, 2 …; one may run several times. */
  readonly layers?: readonly number[] | undefined;
}

/**
 * What is a loop in what a model.json says. Only a block that runs as a whole is one: a list is searched for it, and
 * whatever has none runs its layers in one go, as a block of them all that runs once.
 */
export function runOrder(said: SaidRecursion): RunOrder {
  if ('layers' in said) return blockOf(said.layers);
  const { prelude, block, loops, coda, order } = said;
  // One layer in a row, or each layer once: that is a cycle, too.
  if (order === 'cycle' || block === 1 || loops === 1) return { prelude, block, loops, coda };
  const shared = Array.from({ length: block * loops }, (_, i) => prelude + Math.floor(i / loops));
  const layers = [...range(0, prelude), ...shared, ...range(prelude + block, coda)];
  return { prelude: 0, block: layers.length, loops: 1, coda: 0, layers };
}

/** What layers that run once are to whoever runs them in steps: one block. `layers` stays what it is. */
export function asOneBlock<T extends Omit<RunOrder, 'loops'>>(order: T): T & RunOrder {
  const { prelude, block, coda } = order;
  return { ...order, prelude: 0, block: prelude + block + coda, loops: 1, coda: 0 };
}

/** A list of layers as the shortest block that repeats, between layers that run once; as one block where none does. */
function blockOf(layers: readonly number[]): RunOrder {
  const uses = new Map<number, number>();
  for (const layer of layers) uses.set(layer, (uses.get(layer) ?? 0) + 1);
  const shared = (layer: number): boolean => uses.get(layer)! > 1;
  const first = layers.findIndex(shared);
  const end = layers.findLastIndex(shared) + 1;
  const middle = layers.slice(Math.max(first, 0), end);
  for (let block = 1; 2 * block <= middle.length; block++) {
    const repeats = middle.length % block === 0 && middle.every((layer, i) => layer === middle[i % block]);
    if (!repeats) continue;
    const once = [...layers.slice(0, first + block), ...layers.slice(end)];
    const order = { prelude: first, block, loops: middle.length / block, coda: layers.length - end };
    return inOrder(once) ? order : { ...order, layers: once };
  }
  const order = { prelude: 0, block: layers.length, loops: 1, coda: 0 };
  return inOrder(layers) ? order : { ...order, layers };
}

function inOrder(layers: readonly number[]): boolean {
  return layers.every((layer, i) => layer === i);
}

function range(from: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}
