import type { Recursion } from '../read/source-model.ts';

/** Where a layer stands: which weights it has, how deep it is, and what people call the place. */
export interface LayerPlace {
  /** Number of the layer's weights in the checkpoint. */
  readonly stored: number;
  /** Number of the layer in the order in which layers run. */
  readonly unrolled: number;
  /** Loop that it runs in, from 0; undefined outside the block. */
  readonly depth: number | undefined;
  /**
   * How often its stored layer ran before: the `d` of `depth_{d}` in the names of what it has of its own there, which is
   * the loop where a block runs as a whole and has each layer once. Undefined where layers have nothing of that kind.
   */
  readonly use: number | undefined;
  readonly scope: string;
}

/** Every layer in the order in which it runs: prelude, the block once a loop, coda. */
export function layerPlaces({ recursion }: { readonly recursion: Recursion }): readonly LayerPlace[] {
  const { prelude, block, loops } = recursion;
  const order = storedOrder(recursion);
  const uses = usesOf(recursion);
  const [first, end] = varyingLayers(recursion);
  const before = new Map<number, number>();
  return order.map((layer, unrolled): LayerPlace => {
    const count = before.get(layer) ?? 0;
    before.set(layer, count + 1);
    const inBlock = unrolled - prelude;
    const depth = inBlock < 0 || inBlock >= block * loops ? undefined : Math.floor(inBlock / block);
    const part = inBlock < 0 ? 'prelude/' : depth === undefined ? 'coda/' : '';
    // Of a layer that runs several times in one loop, each has a place of its own.
    const again = count - (depth ?? 0) * (uses.get(layer)! / loops);
    const place =
      loops > 1 && depth !== undefined
        ? `depth.${depth}/layer.${layer}${again > 0 ? `.${again}` : ''}`
        : `${uses.get(layer)! > 1 ? `depth.${count}/` : ''}layer.${layer}`;
    const varies = layer >= first && layer < end;
    return { stored: layer, unrolled, depth, use: varies ? count : undefined, scope: `${part}${place}` };
  });
}

/** The stored layer of each layer that runs. */
export function storedOrder({ prelude, block, loops, coda, layers }: Recursion): readonly number[] {
  const unrolled = prelude + block * loops + coda;
  return Array.from({ length: unrolled }, (_, i) => {
    const inBlock = i - prelude;
    const place = inBlock < 0 ? i : inBlock < block * loops ? prelude + (inBlock % block) : i - block * (loops - 1);
    return layers ? layers[place]! : place;
  });
}

/** How often each stored layer runs. */
export function usesOf(recursion: Recursion): ReadonlyMap<number, number> {
  const uses = new Map<number, number>();
  for (const layer of storedOrder(recursion)) uses.set(layer, (uses.get(layer) ?? 0) + 1);
  return uses;
}

/** How many layers are stored. */
export function storedCount({ prelude, block, coda, layers }: Recursion): number {
  return layers ? layers.reduce((most, layer) => Math.max(most, layer + 1), 0) : prelude + block + coda;
}

/** The stored layers `first` … `end` − 1 that may have factors and norms of their own at each use: those of the block. */
export function varyingLayers(recursion: Recursion): readonly [first: number, end: number] {
  return recursion.varying ?? [recursion.prelude, storedCount(recursion) - recursion.coda];
}
