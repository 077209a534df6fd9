import type { Batching, RowOrder } from '../../../runtime/depth-batched/core.ts';
import type { GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import type { StepShape } from '../../../runtime/depth-batched/step-model.ts';
import type { Scheduled, ScheduleOptions } from './run-schedule.ts';

export interface DrawnSchedule {
  readonly options: ScheduleOptions;
  readonly requests: readonly Scheduled[];
}

export const rowOrders: readonly RowOrder[] = ['oldest', 'deepest', 'fullest'];
const batchings: readonly Batching[] = ['depth-wise', 'depth-wise', 'sequence-wise', 'sequence-wise-shrink'];
const chunks: readonly number[] = [1, 3, 7, 16, 64];

/**
 * When requests join, how many rows and sequences there is room for, how prompts are cut, and how many pages there are:
 * from just enough for the longest to enough for all, or, when they are to be tight, for as long as all are short.
 */
export function drawSchedule(
  random: () => number,
  shape: StepShape,
  requests: readonly GenerationRequest[],
  fixed: Partial<ScheduleOptions> & { readonly kvPolicy: NonNullable<ScheduleOptions['kvPolicy']> },
  { tight = false }: { readonly tight?: boolean } = {},
): DrawnSchedule {
  const between = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const { loops, pageSize } = shape;
  const spans = (positions: number) => Math.ceil(positions / pageSize);
  const needs = requests.map(({ prompt, maxNewTokens }) => spans(prompt.length + maxNewTokens - 1));
  const most = Math.max(...needs);
  // Tight: they all fit in when they come, and not when they have grown.
  const first = requests.reduce((sum, { prompt }, i) => sum + Math.min(needs[i]!, spans(prompt.length + pageSize)), 0);
  const enough = () => (tight ? Math.max(most, first) : between(most, most * pick([1, 2, needs.length])));
  const perSpan = fixed.kvPolicy === 'shared' ? 1 : loops;
  const maxRows = between(1, 8);
  const options: ScheduleOptions = {
    maxRows,
    maxSequences: tight ? requests.length : pick([maxRows, between(1, 8)]),
    prefillChunk: pick(chunks),
    batching: pick(batchings),
    rowOrder: pick(rowOrders),
    // With page 0, and what is left over of a set for all depths.
    pageCount: 1 + perSpan * enough() + between(0, perSpan - 1),
    ...(shape.prelude + shape.coda > 0 ? { boundaryPageCount: 1 + enough() } : {}),
    ...fixed,
  };
  const last = tight ? 5 : pick([0, 5, 40]);
  return { options, requests: requests.map((request) => ({ request, joins: between(0, last) })) };
}
