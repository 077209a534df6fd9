import type { PackageManifest } from '../../files/manifest.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';

/** Keys and values of a sequence in one layer, position by position, each [kv_heads · head_dim]. */
export interface CacheEntries {
  readonly key: Float64Array[];
  readonly value: Float64Array[];
}

/** By depth, then by stored layer. Prelude and coda have theirs at depth 0 alone. */
export type SequenceEntries = readonly (readonly CacheEntries[])[];

export const cacheKinds = ['key', 'value'] as const;

type Cache = PackageManifest['cache'];

/**
 * Entries of one sequence in the caches of the loop form, past_key_values.{k}.key|value [batch, kv_heads, past,
 * head_dim], with a leading axis of depths in the block.
 * @param row of the batch
 * @param columns of the past that are tokens, in order
 */
export function entriesOfRow(
  { cache, recursion }: PackageManifest,
  feeds: ReadonlyMap<string, Tensor>,
  row: number,
  columns: readonly number[],
): SequenceEntries {
  const read = (layer: number, kind: string, depth: number): Float64Array[] => {
    const { shape, data } = feeds.get(`past_key_values.${layer}.${kind}`)!;
    const [batch, , length] = shape.slice(-4) as [number, number, number, number];
    return columns.map((column) => entryAt(cache, data, depth * batch + row, length, column));
  };
  return Array.from({ length: recursion.loops }, (_, depth) =>
    cache.layers.map(({ part }, layer) => {
      const here = part === 'block' || depth === 0;
      return { key: here ? read(layer, 'key', depth) : [], value: here ? read(layer, 'value', depth) : [] };
    }),
  );
}

/** The first `count` entries of place `place` of new_key or new_value [places, kv_heads, tokens, head_dim]. */
export function newEntries(cache: Cache, { shape, data }: Tensor, place: number, count: number): Float64Array[] {
  return Array.from({ length: count }, (_, t) => entryAt(cache, data, place, shape[2]!, t));
}

/**
 * A cache as the loop form returns it, zeros where no token is.
 * @param sequences of each row of the batch: its entries, and the column of each
 */
export function presentOf(
  { cache, recursion }: PackageManifest,
  sequences: readonly { readonly entries: SequenceEntries; readonly columns: readonly number[] }[],
  layer: number,
  kind: (typeof cacheKinds)[number],
  length: number,
): Tensor {
  const { heads, headDim } = cache;
  const inBlock = cache.layers[layer]!.part === 'block';
  const depths = inBlock ? recursion.loops : 1;
  const data = new Float64Array(depths * sequences.length * heads * length * headDim);
  for (let depth = 0; depth < depths; depth++) {
    sequences.forEach(({ entries, columns }, b) => {
      entries[depth]![layer]![kind].forEach((entry, position) => {
        for (let head = 0; head < heads; head++) {
          const row = ((depth * sequences.length + b) * heads + head) * length + columns[position]!;
          data.set(entry.subarray(head * headDim, (head + 1) * headDim), row * headDim);
        }
      });
    });
  }
  const shape = [sequences.length, heads, length, headDim];
  return makeTensor(cache.dtype, inBlock ? [depths, ...shape] : shape, data);
}

/** One position of a tensor [blocks, kv_heads, length, head_dim]. */
function entryAt(
  { heads, headDim }: Cache,
  data: Float64Array,
  block: number,
  length: number,
  position: number,
): Float64Array {
  const entry = new Float64Array(heads * headDim);
  for (let head = 0; head < heads; head++) {
    const from = ((block * heads + head) * length + position) * headDim;
    entry.set(data.subarray(from, from + headDim), head * headDim);
  }
  return entry;
}
