import { concat, gather, reshape, slice, transpose } from './movement.ts';
import type { Tensor } from './tensor.ts';
import { attention } from './transformer.ts';

/**
 * attention of each row over the pages that its table names, then its new keys: q [ROWS, H, TOKENS, D], k and v
 * [ROWS, KV, TOKENS, D or E], pages [PAGE_COUNT, KV, SIZE, D or E]; `groups` are page tables [ROWS_g, PAGES_g] and masks
 * [ROWS_g, 1, TOKENS, SIZE·PAGES_g + TOKENS] in turn, of consecutive rows.
 */
export function pagedAttention([q, k, v, keyPages, valuePages, ...groups]: readonly Tensor[], scale: number): Tensor {
  const results: Tensor[] = [];
  let start = 0;
  for (let i = 0; i < groups.length; i += 2) {
    const [table, mask] = [groups[i]!, groups[i + 1]!];
    const rows = table.shape[0]!;
    const own = (x: Tensor) => slice(x, 0, start, rows);
    const keys = concat([pagesOf(keyPages!, table), own(k!)], 2);
    const values = concat([pagesOf(valuePages!, table), own(v!)], 2);
    results.push(attention(own(q!), keys, values, mask, scale));
    start += rows;
  }
  return concat(results, 0);
}

/** The pages of each row, one behind the other: [ROWS, KV, PAGES·SIZE, D] of [PAGE_COUNT, KV, SIZE, D]. */
function pagesOf(pages: Tensor, table: Tensor): Tensor {
  const [rows, count] = table.shape as [number, number];
  const [, heads, size, width] = pages.shape as [number, number, number, number];
  const found = transpose(gather(pages, table, 0), [0, 2, 1, 3, 4]);
  return reshape(found, [rows, heads, count * size, width]);
}
