import { addDims, type Dim, multiplyDims } from '../dims.ts';
import { formatType, sameDims, sameType, tensor } from '../tensor-type.ts';
import { normalization } from './rules.ts';
import type { OpSpec } from './spec.ts';

/** What transformers are made of, each one operation until take-apart. */
export const transformerOps = {
  /** x / sqrt(mean(x²) + epsilon) · scale over the last axis; scale [N]. */
  rms_norm: { operands: ['x', 'scale'], attrs: { epsilon: 'float' }, infer: normalization },
  /** rms_norm of x + skip, and x + skip itself: what a residual stream needs at every norm. */
  add_rms_norm: {
    operands: ['x', 'skip', 'scale'],
    attrs: { epsilon: 'float' },
    infer: ([x, skip, scale]) => {
      if (!sameType(x!, skip!)) return `adds ${formatType(skip!)} to ${formatType(x!)}`;
      const normed = normalization([x!, scale!]);
      return typeof normed === 'string' ? normed : [x!, x!];
    },
  },
  /** (x − mean) / sqrt(variance + epsilon) · scale + bias over the last axis; scale, bias [N]. */
  layer_norm: { operands: ['x', 'scale', 'bias'], attrs: { epsilon: 'float' }, infer: normalization },
  /**
   * Rotates the first 2·R dimensions of each head, half against half (Hugging Face's order); the rest pass.
   * x [BATCH, HEADS, SEQUENCE, HEAD_DIM], cos and sin [BATCH, SEQUENCE, R].
   */
  rotary: {
    operands: ['x', 'cos', 'sin'],
    attrs: {},
    infer: ([x, cos, sin]) => {
      const [batch, , sequence, width] = x!.dims;
      const rotated = cos!.dims[2];
      if (x!.dims.length !== 4 || cos!.dims.length !== 3) return `rotates ${formatType(x!)} by ${formatType(cos!)}`;
      if (cos!.dtype !== x!.dtype || sin!.dtype !== x!.dtype || !sameDims(cos!.dims, sin!.dims)) {
        return `rotates ${formatType(x!)} by ${formatType(cos!)} and ${formatType(sin!)}`;
      }
      const fits = typeof rotated === 'number' && typeof width === 'number' && 2 * rotated <= width;
      if (cos!.dims[0] !== batch || cos!.dims[1] !== sequence || !fits)
        return `rotates ${formatType(x!)} by ${formatType(cos!)}`;
      return [x!];
    },
  },
  /**
   * As rotary, with cos and sin in the rows of tables: x [BATCH, HEADS, SEQUENCE, HEAD_DIM], cos and sin [N, R],
   * rows i64 [BATCH, SEQUENCE], where each position finds its own.
   */
  rotary_lookup: {
    operands: ['x', 'cos', 'sin', 'rows'],
    attrs: {},
    infer: ([x, cos, sin, rows]) => {
      const [batch, , sequence, width] = x!.dims;
      const rotated = cos!.dims[1];
      if (x!.dims.length !== 4 || cos!.dims.length !== 2) return `rotates ${formatType(x!)} by ${formatType(cos!)}`;
      if (cos!.dtype !== x!.dtype || !sameType(cos!, sin!)) {
        return `rotates ${formatType(x!)} by ${formatType(cos!)} and ${formatType(sin!)}`;
      }
      if (typeof rotated !== 'number' || typeof width !== 'number' || 2 * rotated > width)
        return `rotates ${formatType(x!)} by ${formatType(cos!)}`;
      const fits = rows!.dtype === 'i64' && sameDims(rows!.dims, [batch!, sequence!]);
      return fits ? [x!] : `finds the rows for ${formatType(x!)} by ${formatType(rows!)}`;
    },
  },
  /**
   * softmax(scale · q · kᵀ) · v, each KV head serving HEADS / KV_HEADS query heads in a row.
   * q [BATCH, HEADS, SEQUENCE, D], k [BATCH, KV_HEADS, TOTAL, D], v [BATCH, KV_HEADS, TOTAL, E],
   * mask bool [BATCH, 1, SEQUENCE, TOTAL], true where a query sees a key. A query that sees none sees all alike.
   */
  attention: {
    operands: ['q', 'k', 'v', 'mask'],
    attrs: { scale: 'float' },
    infer: ([q, k, v, mask]) => {
      const [batch, heads, sequence, width] = q!.dims;
      const [kBatch, kvHeads, total, kWidth] = k!.dims;
      if (q!.dims.length !== 4 || k!.dims.length !== 4 || v!.dims.length !== 4) return 'needs four axes on q, k and v';
      if (q!.dtype !== k!.dtype || q!.dtype !== v!.dtype || mask!.dtype !== 'bool') return 'mixes element types';
      if (batch !== kBatch || width !== kWidth) return `attends from ${formatType(q!)} to ${formatType(k!)}`;
      if (!sameDims(k!.dims.slice(0, 3), v!.dims.slice(0, 3)))
        return `has keys ${formatType(k!)} but values ${formatType(v!)}`;
      if (!sameDims(mask!.dims, [batch!, 1, sequence!, total!])) return `is masked by ${formatType(mask!)}`;
      if (typeof heads !== 'number' || typeof kvHeads !== 'number' || heads % kvHeads !== 0) {
        return `has ${heads} query heads for ${kvHeads} KV heads`;
      }
      return [tensor(q!.dtype, [batch!, heads, sequence!, v!.dims[3]!])];
    },
  },
  /**
   * attention where each row's past lies in pages, as over concat(pages that its table names, new keys):
   * q [ROWS, HEADS, TOKENS, D], new k [ROWS, KV_HEADS, TOKENS, D] and v [ROWS, KV_HEADS, TOKENS, E], key_pages
   * [PAGE_COUNT, KV_HEADS, SIZE, D], value_pages [PAGE_COUNT, KV_HEADS, SIZE, E]. Rows come in groups, one after the
   * other, each with two operands: its page table i64 [ROWS_g, PAGES_g], and its mask bool
   * [ROWS_g, 1, TOKENS, SIZE*PAGES_g+TOKENS], first the places in pages, then the new ones. ROWS is the sum of ROWS_g;
   * PAGES_g may be 0: no past.
   */
  paged_attention: {
    operands: ['q', 'k', 'v', 'key_pages', 'value_pages', 'groups...'],
    attrs: { scale: 'float' },
    infer: ([q, k, v, keys, values, ...groups]) => {
      const all = [q!, k!, v!, keys!, values!];
      if (all.some(({ dims }) => dims.length !== 4)) return 'needs four axes on q, k, v and pages';
      if (all.some(({ dtype }) => dtype !== q!.dtype)) return 'mixes element types';
      const [rows, heads, tokens, width] = q!.dims as [Dim, Dim, Dim, Dim];
      const [count, kvHeads, size] = keys!.dims as [Dim, Dim, Dim, Dim];
      if (!sameDims(k!.dims, [rows, kvHeads, tokens, width]) || keys!.dims[3] !== width)
        return `attends from ${formatType(q!)} to ${formatType(k!)} behind pages ${formatType(keys!)}`;
      const out = v!.dims[3]!;
      if (!sameDims(v!.dims, [rows, kvHeads, tokens, out]) || !sameDims(values!.dims, [count, kvHeads, size, out]))
        return `has keys ${formatType(k!)} behind pages ${formatType(keys!)} but values ${formatType(v!)} behind ${formatType(values!)}`;
      if (typeof heads !== 'number' || typeof kvHeads !== 'number' || heads % kvHeads !== 0)
        return `has ${heads} query heads for ${kvHeads} KV heads`;
      if (groups.length === 0 || groups.length % 2 !== 0) return 'needs a page table and a mask for each group of rows';
      for (let i = 0; i < groups.length; i += 2) {
        const [table, mask] = [groups[i]!, groups[i + 1]!];
        if (table.dtype !== 'i64' || table.dims.length !== 2) return `finds pages in ${formatType(table)}`;
        const total = addDims(multiplyDims(size, table.dims[1]!), tokens);
        if (mask.dtype !== 'bool' || !sameDims(mask.dims, [table.dims[0]!, 1, tokens, total]))
          return `is masked by ${formatType(mask)} where its pages are ${formatType(table)}`;
      }
      const tables = groups.filter((_, i) => i % 2 === 0);
      const sum = addDims(...tables.map((table) => table.dims[0]!));
      return sum === rows ? [tensor(q!.dtype, [rows, heads, tokens, out])] : `has ${rows} rows in groups of ${sum}`;
    },
  },
} as const satisfies Record<string, OpSpec>;
