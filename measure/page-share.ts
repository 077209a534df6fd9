import type { CacheWrite, StepModel, StepRow } from '../runtime/depth-batched/step-model.ts';

/** A part of a model's pages that is used like a model of its own, and what it ran last. */
export interface PageShare extends StepModel {
  /**
   * Rows of a decoding step, one token each, as the whole model had them: of those with the most rows the last one.
   * Empty before the first.
   */
  readonly lastDecode: () => readonly StepRow[];
  /** Milliseconds that entries of skipped loops took so far. */
  readonly propagating: () => number;
}

/**
 * Divides the pages of one model, so that several schedulers can take turns with the same graph and weights, each with
 * sequences in the middle of their text. Closing a share closes nothing.
 */
export function sharePages(model: StepModel, shares: number): readonly PageShare[] {
  // Page 0 is the padding's, for all of them.
  const own = Math.max(0, Math.floor((model.pageCount - 1) / shares));
  const ownBoundary = Math.max(0, Math.floor((model.boundaryPageCount - 1) / shares));
  return Array.from({ length: shares }, (_, i) => oneShare(model, i, own, ownBoundary));
}

function oneShare(model: StepModel, index: number, pages: number, boundaryPages: number): PageShare {
  const moved = (of: readonly number[], offset: number) =>
    offset === 0 ? of : of.map((page) => (page === 0 ? 0 : page + offset));
  const block = (of: readonly number[]) => moved(of, index * pages);
  const boundary = (of: readonly number[]) => moved(of, index * boundaryPages);
  let last: readonly StepRow[] = [];
  let propagating = 0;
  return {
    shape: model.shape,
    pageCount: pages + 1,
    boundaryPageCount: model.boundaryPageCount === 0 ? 0 : boundaryPages + 1,
    pageBytes: model.pageBytes,
    lastDecode: () => last,
    propagating: () => propagating,
    run: (rows, options) => {
      const own = rows.map((row) => ({ ...row, pages: block(row.pages), boundaryPages: boundary(row.boundaryPages) }));
      if (own.length >= last.length && own.every(({ tokens }) => tokens.length === 1)) last = own;
      return model.run(own, options);
    },
    write: (writes: readonly CacheWrite[]) =>
      model.write(
        writes.map((write) => ({
          ...write,
          pages: write.part === 'block' ? block(write.pages) : boundary(write.pages),
        })),
      ),
    propagate: async (states) => {
      const milliseconds = await model.propagate(states.map((state) => ({ ...state, pages: block(state.pages) })));
      propagating += milliseconds;
      return milliseconds;
    },
    close: async () => {},
  };
}
