import { addDims, type Dim, monomialsOf, multiplyDims } from '../../ir/dims.ts';
import type { Op } from '../../ir/graph.ts';
import { type OpSpec, opTable } from '../../ir/op-table.ts';

/** What the names in dims become: `batch` → `rows`, `past` → `64*pages`. */
export type Sizes = ReadonlyMap<string, Dim>;

/** `dim` with other dims in place of its names; names that `sizes` does not have stay. */
export function renameDim(dim: Dim, sizes: Sizes): Dim {
  if (typeof dim === 'number') return dim;
  const terms = monomialsOf(dim).map(({ coefficient, symbols }) =>
    multiplyDims(coefficient, ...symbols.map((symbol) => sizes.get(symbol) ?? symbol)),
  );
  return addDims(...terms);
}

/** The attributes of an operation with every dim in them renamed. */
export function renameAttrs<K extends Op>(op: K, sizes: Sizes): K['attrs'] {
  const kinds = Object.entries((opTable[op.kind] as OpSpec).attrs);
  if (!kinds.some(([, kind]) => kind === 'dim' || kind === 'dims')) return op.attrs;
  const attrs = op.attrs as Readonly<Record<string, Dim | readonly Dim[]>>;
  return Object.fromEntries(
    kinds.map(([name, kind]) => {
      const value = attrs[name]!;
      if (kind === 'dim') return [name, renameDim(value as Dim, sizes)];
      return [name, kind === 'dims' ? (value as readonly Dim[]).map((dim) => renameDim(dim, sizes)) : value];
    }),
  ) as K['attrs'];
}
