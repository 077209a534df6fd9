import { addDims, type Dim } from '../ir/dims.ts';
import type { DType } from '../ir/dtype.ts';
import { type PackageManifest, propagateGraphName, stepGraphName } from './manifest.ts';

/** A tensor that a graph has to have; an axis that is undefined may be of any size. */
export interface ExpectedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly (Dim | undefined)[];
}

export interface ExpectedGraph {
  readonly inputs: readonly ExpectedTensor[];
  readonly outputs: readonly ExpectedTensor[];
}

/** A cache of a package: a layer, at one depth or at all of them. */
export type CacheLayer = PackageManifest['cache']['layers'][number];

/** What of rtc.json graphs depend on. */
export type InterfaceFacts = Pick<PackageManifest, 'form' | 'recursion' | 'exits' | 'cache' | 'precision'>;

/** How many caches a model has in a form. */
export function cacheCount({ form, recursion }: Pick<InterfaceFacts, 'form' | 'recursion'>): number {
  const { prelude, block, loops, coda } = recursion;
  return prelude + block * (form === 'unrolled' ? loops : 1) + coda;
}

/** The caches that a model has in a form, in order. */
export function cacheLayersOf({ form, recursion }: Pick<InterfaceFacts, 'form' | 'recursion'>): readonly CacheLayer[] {
  const { prelude, block, loops, coda } = recursion;
  const layers = (part: CacheLayer['part'], first: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({ part, layer: first + i }));
  const shared = layers('block', prelude, block);
  const inForm = {
    'depth-batched': shared,
    loop: shared.map((layer) => ({ ...layer, loops })),
    unrolled: Array.from({ length: loops }, (_, depth) => shared.map((layer) => ({ ...layer, depth }))).flat(),
  } as const satisfies Record<PackageManifest['form'], readonly CacheLayer[]>;
  return [...layers('prelude', 0, prelude), ...inForm[form], ...layers('coda', prelude + block, coda)];
}

/**
 * The graphs that a package has to have, by the name of their file, in the order of the contract: the same as what was
 * written, unless somebody changed one of the two.
 */
export function expectedGraphs(facts: InterfaceFacts): Readonly<Record<string, ExpectedGraph>> {
  if (facts.form !== 'depth-batched') return { 'model.onnx': wholeModel(facts) };
  const graphs = { [stepGraphName]: stepGraph(facts) };
  return facts.recursion.loops === 1 ? graphs : { ...graphs, [propagateGraphName]: propagateGraph(facts) };
}

const ids = (name: string, ...dims: readonly Dim[]): ExpectedTensor => ({ name, dtype: 'i64', dims });

/** Key and value of every cache, by a pattern of their names. */
function caches(
  { cache }: InterfaceFacts,
  nameOf: (i: number, part: 'key' | 'value') => string,
  dimsOf: (layer: CacheLayer) => readonly Dim[],
): readonly ExpectedTensor[] {
  return cache.layers.flatMap((layer, i) =>
    (['key', 'value'] as const).map((part) => ({ name: nameOf(i, part), dtype: cache.dtype, dims: dimsOf(layer) })),
  );
}

function wholeModel(facts: InterfaceFacts): ExpectedGraph {
  const { form, cache, exits } = facts;
  const logits = (name: string): ExpectedTensor => ({ name, dtype: 'f32', dims: ['batch', 'sequence', undefined] });
  const grown = (prefix: string, positions: Dim) =>
    caches(
      facts,
      (i, part) => `${prefix}.${i}.${part}`,
      ({ loops }) => [...(loops === undefined ? [] : [loops]), 'batch', cache.heads, positions, cache.headDim],
    );
  const total = addDims('past', 'sequence');
  return {
    inputs: [
      ids('input_ids', 'batch', 'sequence'),
      ids('attention_mask', 'batch', total),
      ids('position_ids', 'batch', 'sequence'),
      ...grown('past_key_values', 'past'),
      ...(form === 'loop' ? [ids('max_loops'), { name: 'exit_threshold', dtype: 'f32', dims: [] } as const] : []),
    ],
    outputs: [
      logits('logits'),
      ...grown('present', total),
      ...(form === 'loop' ? [ids('exit_loop', 'batch', 'sequence')] : []),
      ...(exits?.logits ? exits.after.map((loop) => logits(`exit_logits.${loop}`)) : []),
    ],
  };
}

function stepGraph(facts: InterfaceFacts): ExpectedGraph {
  const { cache, precision, recursion } = facts;
  const { prelude, coda } = recursion;
  const { groups = 1, pageSize = 0 } = cache;
  const perGroup = (name: string, g: number, separator: string) => (groups === 1 ? name : `${name}${separator}${g}`);
  const numbered = Array.from({ length: groups }, (_, g) => g);
  const rows = addDims(...numbered.map((g) => perGroup('rows', g, '_')));
  const hidden = { dtype: precision.compute, dims: [rows, 'tokens', undefined] };
  const rowsOf = { prelude: 'entering', block: rows, coda: 'leaving' } as const;
  return {
    inputs: [
      ids('input_ids', rows, 'tokens'),
      { name: 'hidden', ...hidden },
      ids('depth', rows),
      ids('position_ids', rows, 'tokens'),
      ids('past_length', rows),
      ...numbered.map((g) => ids(perGroup('page_table', g, '.'), perGroup('rows', g, '_'), perGroup('pages', g, '_'))),
      ...(prelude + coda > 0 ? [ids('boundary_page_table', rows, 'boundary_pages')] : []),
      ...(prelude > 0 ? [ids('entering_rows', 'entering')] : []),
      ...(coda > 0 ? [ids('leaving_rows', 'leaving')] : []),
      ids('head_rows', 'heads'),
      ...caches(
        facts,
        (i, part) => `${part}_pages.${i}`,
        ({ part }) => {
          const count = part === 'block' ? 'page_count' : 'boundary_page_count';
          return [count, cache.heads, pageSize, cache.headDim];
        },
      ),
    ],
    outputs: [
      { name: 'hidden.out', ...hidden },
      ...caches(
        facts,
        (i, part) => `new_${part}.${i}`,
        ({ part }) => [rowsOf[part], cache.heads, 'tokens', cache.headDim],
      ),
      { name: 'logits', dtype: 'f32', dims: ['heads', undefined] },
      { name: 'confidence', dtype: 'f32', dims: ['heads'] },
      ids('next_token', 'heads'),
    ],
  };
}

function propagateGraph(facts: InterfaceFacts): ExpectedGraph {
  const { cache, precision } = facts;
  const all = caches(
    facts,
    (i, part) => `new_${part}.${i}`,
    () => ['n', cache.heads, cache.headDim],
  );
  return {
    inputs: [
      { name: 'hidden', dtype: precision.compute, dims: ['n', undefined] },
      ids('depth', 'n'),
      ids('position_ids', 'n'),
    ],
    outputs: all.filter((_, i) => cache.layers[Math.floor(i / 2)]!.part === 'block'),
  };
}
