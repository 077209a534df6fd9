import { dealRows } from '../../../files/deal-rows.ts';
import { exactly, type NamedProfile, type ProfilePolicy, type SizeRange, shareOfContext, sizeRange } from './policy.ts';
import { steadyState } from './steady-state.ts';

/**
 * Profiles of step.onnx: `decode` (one token a row, tuned for the rows of the steady state), `small` (the same, tuned
 * for one row) and `prefill` (chunks of a prompt, tuned for one whole chunk).
 *
 * No size is 0, although TensorRT has empty tensors: kernels for none of something are where engines break, and a driver
 * gets by without. Where no row enters, leaves or asks, it lists a row and discards what comes of it: of entering_rows
 * an idle row at depth 0, as its hidden state is overwritten. A table without pages names page 0, which is zero and
 * which a past_length of 0 hides.
 *
 * Rows are dealt to groups by `dealRows`, as every driver of engines does, so that whatever number up to the largest fits. Each group has a row: with G groups a step has at least G rows.
 *
 * The pages are those of all slots, each with a full context at every depth, and page 0. Fewer are allowed, down to page
 * 0 and one page, for machines with less memory and for checks.
 *
 * @param idleRows 1 where the graph has entering_rows: a step into which no row enters then has one row more, the idle
 *   one, however many others it has
 */
export function stepProfiles(policy: ProfilePolicy, idleRows: 0 | 1 = 0): readonly NamedProfile[] {
  const { groups, maxRows, prefillChunk } = policy;
  const { rows, entering, leaving, asking } = steadyState(policy);
  const smallRows = Math.min(maxRows, policy.smallRows);
  const listed = (opt: number, most: number) => sizeRange(1, opt, most);
  const one = exactly(1);

  return [
    profile('decode', rowsOf(rows, maxRows + idleRows), one, (most) => ({
      heads: listed(asking, most),
      entering: listed(entering, most),
      leaving: listed(Math.max(asking, leaving), most),
    })),
    profile('small', rowsOf(1, smallRows + idleRows), one, (most) => ({
      heads: listed(1, most),
      entering: listed(1, most),
      leaving: listed(1, most),
    })),
    profile('prefill', rowsOf(1, smallRows + idleRows), sizeRange(1, prefillChunk, prefillChunk), (most) => ({
      // The last token of a prompt is all that decoding wants, a whole chunk of one row what checks and measures do.
      heads: listed(1, Math.max(most, prefillChunk)),
      entering: listed(1, most),
      leaving: listed(1, most),
    })),
  ];

  /** Rows of a step, by group. */
  function rowsOf(opt: number, most: number): readonly SizeRange[] {
    const [least, usual, largest] = [groups, Math.max(groups, opt), Math.max(groups, most)].map((n) =>
      dealRows(n, groups),
    );
    return Array.from({ length: groups }, (_, g) => ({ min: least![g]!, opt: usual![g]!, max: largest![g]! }));
  }

  function profile(
    name: string,
    byGroup: readonly SizeRange[],
    tokens: SizeRange,
    lists: (mostRows: number) => Readonly<Record<'heads' | 'entering' | 'leaving', SizeRange>>,
  ): NamedProfile {
    const sum = (of: (range: SizeRange) => number, until = groups) =>
      byGroup.slice(0, until).reduce((total, range) => total + of(range), 0);
    const usual = sum(({ opt }) => opt);
    const named = (stem: string, g: number) => (groups === 1 ? stem : `${stem}_${g}`);
    const sizes = new Map<string, SizeRange>();
    for (const [g, range] of byGroup.entries()) sizes.set(named('rows', g), range);
    sizes.set('tokens', tokens);
    for (let g = 0; g < groups; g++) {
      // Groups are in the order of their lengths, so that the last row up to here is the longest of its group.
      const share = shareOfContext(
        sum(({ opt }) => opt, g + 1),
        usual,
      );
      sizes.set(named('pages', g), pageRange(policy, share));
    }
    sizes.set('boundary_pages', pageRange(policy, shareOfContext(usual, usual)));
    for (const [size, range] of Object.entries(lists(sum(({ max }) => max)))) sizes.set(size, range);
    const { block, boundary } = pagesOfAllSlots(policy);
    sizes.set('page_count', sizeRange(2, block, block));
    sizes.set('boundary_page_count', sizeRange(2, boundary, boundary));
    return { name, sizes };
  }
}

/** Pages of a full context. */
export function pagesOfContext({ maxContext, pageSize }: ProfilePolicy): number {
  return Math.ceil(maxContext / pageSize);
}

/**
 * Pages that as many sequences as a step has rows fill, page 0 included: of the block one set for each depth, of prelude
 * and coda one for all.
 */
export function pagesOfAllSlots(policy: ProfilePolicy): { readonly block: number; readonly boundary: number } {
  const slots = Math.max(policy.maxRows, policy.groups);
  const boundary = slots * pagesOfContext(policy);
  return { block: boundary * policy.loops + 1, boundary: boundary + 1 };
}

function pageRange(policy: ProfilePolicy, share: number): SizeRange {
  return sizeRange(1, Math.ceil((policy.maxContext * share) / policy.pageSize), pagesOfContext(policy));
}
