import type { KvPolicy } from './core.ts';
import { pagePool } from './page-pool.ts';
import type { StepModel } from './step-model.ts';

/** Pages of one sequence. */
export interface SequencePages {
  /** By depth; one list under `shared`. */
  readonly block: readonly number[][];
  readonly boundary: number[];
}

/**
 * All pages, handed out by the span: for as many positions as a page has, a page of every depth and one of the boundary
 * layers. Every token gets entries at every depth, whichever loop it leaves after, and gets them within as many steps as
 * there are loops; so taking the pages of deeper loops later would hardly ever spare one, and could leave a token stuck
 * between two loops.
 */
export interface Spans {
  readonly total: number;
  readonly free: () => number;
  /** Spans that so many positions take. */
  readonly of: (positions: number) => number;
  readonly held: (pages: SequencePages) => number;
  readonly none: () => SequencePages;
  readonly take: (pages: SequencePages) => void;
  readonly give: (pages: SequencePages) => void;
  /** Pages of all kinds. */
  readonly pages: () => { readonly used: number; readonly total: number };
}

/** All pages of a model, none of them handed out. */
export function createSpans({ shape, pageCount, boundaryPageCount }: StepModel, policy: KvPolicy): Spans {
  const depths = policy === 'shared' ? 1 : shape.loops;
  const hasBoundary = shape.prelude + shape.coda > 0;
  const block = pagePool(pageCount);
  const boundary = pagePool(hasBoundary ? boundaryPageCount : 0);
  const spansIn = (blockPages: number, boundaryPages: number) =>
    Math.min(Math.floor(blockPages / depths), hasBoundary ? boundaryPages : Number.POSITIVE_INFINITY);
  return {
    total: spansIn(block.total, boundary.total),
    free: () => spansIn(block.total - block.used(), boundary.total - boundary.used()),
    of: (positions) => Math.ceil(positions / shape.pageSize),
    held: (pages) => pages.block[0]!.length,
    none: () => ({ block: Array.from({ length: depths }, () => []), boundary: [] }),
    take: (pages) => {
      for (const list of pages.block) list.push(block.take());
      if (hasBoundary) pages.boundary.push(boundary.take());
    },
    give: (pages) => {
      for (const list of pages.block) block.give(list);
      boundary.give(pages.boundary);
    },
    pages: () => ({ used: block.used() + boundary.used(), total: block.total + boundary.total }),
  };
}
