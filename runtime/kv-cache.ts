import type { PackageManifest } from '../files/manifest.ts';
import { mainGraph } from '../files/package.ts';
import type { ElementType, HostTensor, TensorData } from './session.ts';

/**
 * Keys and values of all that was read so far, by the names of the inputs that take them:
 * past_key_values.{i}.key [batch, kv_heads, past, head_dim], with a leading loops axis where the form has one.
 */
export type KvCache = Readonly<Record<string, HostTensor>>;

interface CacheInput {
  readonly name: string;
  readonly output: string;
  readonly type: ElementType;
  /** `batch` and `past` by name, all others numbers. */
  readonly dims: readonly (number | string)[];
}

/** The cache before the first token: every tensor is there, with a past of 0. */
export function emptyCache(manifest: PackageManifest, batch: number): KvCache {
  return Object.fromEntries(
    cacheInputs(manifest).map(({ name, type, dims }) => {
      const sizes = dims.map((dim) => (typeof dim === 'number' ? dim : dim === 'batch' ? batch : 0));
      return [name, { type, dims: sizes, data: emptyData(type) }];
    }),
  );
}

/** What a run returned as `present` becomes the past of the next, the very same tensors. */
export function nextCache(manifest: PackageManifest, outputs: Readonly<Record<string, HostTensor>>): KvCache {
  return Object.fromEntries(cacheInputs(manifest).map(({ name, output }) => [name, outputs[output]!]));
}

/** The cache of some of the batch's rows, copied. */
export function takeRows(manifest: PackageManifest, cache: KvCache, rows: readonly number[]): KvCache {
  return Object.fromEntries(
    cacheInputs(manifest).map(({ name, dims }) => {
      const { type, dims: sizes, data } = cache[name]!;
      const axis = dims.indexOf('batch');
      const taken = sizes.map((size, i) => (i === axis ? rows.length : size));
      return [name, { type, dims: taken, data: gatherRows(data, sizes, axis, rows) }];
    }),
  );
}

/** `data` [..., batch, ...] with only the given rows of that axis. */
export function gatherRows(
  data: TensorData,
  dims: readonly number[],
  axis: number,
  rows: readonly number[],
): TensorData {
  const outer = dims.slice(0, axis).reduce((product, dim) => product * dim, 1);
  const inner = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const batch = dims[axis]!;
  const result = data.slice(0, outer * rows.length * inner);
  for (let i = 0; i < outer; i++) {
    rows.forEach((row, j) => {
      const from = (i * batch + row) * inner;
      (result as Float32Array).set(data.subarray(from, from + inner) as Float32Array, (i * rows.length + j) * inner);
    });
  }
  return result;
}

function cacheInputs(manifest: PackageManifest): readonly CacheInput[] {
  return mainGraph(manifest)
    .inputs.filter(({ name }) => name.startsWith('past_key_values.'))
    .map(({ name, dtype, dims }) => ({
      name,
      output: name.replace('past_key_values.', 'present.'),
      type: dtype as ElementType,
      dims,
    }));
}

function emptyData(type: ElementType): TensorData {
  return type === 'f16' ? new Uint16Array(0) : new Float32Array(0);
}
