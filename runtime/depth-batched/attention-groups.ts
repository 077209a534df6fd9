import { dealRows } from '../../files/deal-rows.ts';

/** Rows of a step in the order of the graph, cut into attention groups. */
export interface RowGroups {
  /** Rows in the order in which the graph gets them. */
  readonly order: readonly number[];
  /** Rows of every group, in that order; a group may have none. */
  readonly sizes: readonly number[];
}

/**
 * Deals rows into attention groups, each of which is as wide as its longest row. Rows are sorted by length, then cut
 * where least is attended to in vain. Cuts that come to the same are told apart by how even they are, as a group is fast
 * while what it gathers fits the processor's cache.
 * @param widths pages of every row
 * @param groups as many as the graph has
 * @param neverEmpty cuts as engines are given their rows, by `dealRows`, so that none is empty when there are enough
 */
export function groupRows(widths: readonly number[], groups: number, neverEmpty = false): RowGroups {
  const order = widths.map((_, row) => row);
  if (groups === 1 || widths.length === 0) {
    return { order, sizes: Array.from({ length: groups }, (_, g) => (g === 0 ? order.length : 0)) };
  }
  order.sort((a, b) => widths[a]! - widths[b]! || a - b);
  if (neverEmpty) return { order, sizes: dealRows(order.length, groups) };
  return {
    order,
    sizes: cut(
      Float64Array.from(order, (row) => widths[row]!),
      groups,
    ),
  };
}

/** Sizes of the groups that ascending `widths` are cut into. */
function cut(widths: Float64Array, groups: number): readonly number[] {
  const count = widths.length;
  const whole = count * (widths[count - 1]! + 1);
  // best[n]: the least cost of the first n rows in the groups so far; from[g][n]: where the last of g + 1 groups begins.
  let best = new Float64Array(count + 1).fill(Number.POSITIVE_INFINITY);
  best[0] = 0;
  const from: Int32Array[] = [];
  for (let g = 0; g < groups; g++) {
    const next = new Float64Array(count + 1).fill(Number.POSITIVE_INFINITY);
    const starts = new Int32Array(count + 1);
    for (let end = 0; end <= count; end++) {
      for (let start = 0; start <= end; start++) {
        // The new token is a column more.
        const size = end === start ? 0 : (end - start) * (widths[end - 1]! + 1);
        const cost = best[start]! + size + (size * size) / whole;
        if (cost < next[end]!) {
          next[end] = cost;
          starts[end] = start;
        }
      }
    }
    best = next;
    from.push(starts);
  }
  const sizes: number[] = [];
  let end = count;
  for (let g = groups - 1; g >= 0; g--) {
    const start = from[g]![end]!;
    sizes.unshift(end - start);
    end = start;
  }
  return sizes;
}
