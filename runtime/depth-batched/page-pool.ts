import { invariant } from '../../ir/invariant.ts';

/** Pages by number. Page 0 is never handed out: it is what padding points at. */
export interface PagePool {
  /** Pages that there are to hand out. */
  readonly total: number;
  readonly used: () => number;
  /** A page that nobody has; the caller has made sure that there is one. */
  readonly take: () => number;
  /** Gives pages back, each once. */
  readonly give: (pages: readonly number[]) => void;
}

/** @param count pages, page 0 included; 0 for none at all */
export function pagePool(count: number): PagePool {
  const total = Math.max(0, count - 1);
  // Low numbers go first, so that memory that was never needed is never touched.
  const free = Int32Array.from({ length: total }, (_, i) => total - i);
  const taken = new Uint8Array(count);
  let left = total;
  return {
    total,
    used: () => total - left,
    take: () => {
      invariant(left > 0, 'a page was taken from an empty pool');
      const page = free[--left]!;
      taken[page] = 1;
      return page;
    },
    give: (pages) => {
      for (const page of pages) {
        invariant(taken[page] === 1, `page ${page} was given back by somebody who did not have it`);
        taken[page] = 0;
        free[left++] = page;
      }
    },
  };
}
