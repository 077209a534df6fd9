import { dealRows } from '../../../files/deal-rows.ts';
import { type GraphTensor, type PackageManifest, stepGraphName } from '../../../files/manifest.ts';
import { invariant } from '../../../ir/invariant.ts';
import type { EngineInput } from './engine-call.ts';

/** A step to be timed. */
export interface TimedStep {
  readonly rows: number;
  /** Of each row. */
  readonly tokens: number;
  /** Rows that leave and ask for the logits of their last token; at least 1, as engines run no empty list. */
  readonly heads: number;
  /** Positions behind each row. */
  readonly context: number;
}

/**
 * Inputs of a step graph that are valid and say nothing: rows at all depths in turn, each with pages that no other row
 * has, hidden states and pages of zeros. Rows are dealt to groups by `dealRows`.
 */
export function stepInputs(
  { recursion, cache }: Pick<PackageManifest, 'recursion' | 'cache'>,
  inputs: readonly GraphTensor[],
  step: TimedStep,
): ReadonlyMap<string, EngineInput> {
  const { rows, tokens, heads, context } = step;
  const pageSize = cache.pageSize ?? 1;
  // A table names at least one page: page 0, which a row without a past does not look into.
  const width = Math.max(1, Math.ceil(context / pageSize));
  const depths = Array.from({ length: rows }, (_, row) => row % recursion.loops);
  const leaving = Array.from({ length: heads }, (_, i) => i);
  const groups = Math.max(1, inputs.filter(({ name }) => name.startsWith('page_table.')).length);
  const table = (first: number, end: number): EngineInput => ({
    dtype: 'i64',
    shape: [end - first, width],
    data: Float64Array.from({ length: (end - first) * width }, (_, i) => (context === 0 ? 0 : 1 + first * width + i)),
  });
  const list = (values: readonly number[]): EngineInput => ({
    dtype: 'i64',
    shape: [values.length],
    data: Float64Array.from(values),
  });
  const byToken = (of: (token: number) => number): EngineInput => ({
    dtype: 'i64',
    shape: [rows, tokens],
    data: Float64Array.from({ length: rows * tokens }, (_, i) => of(i % tokens)),
  });
  const made = new Map<string, EngineInput>([
    ['input_ids', byToken(() => 0)],
    ['depth', list(depths)],
    ['position_ids', byToken((token) => context + token)],
    ['past_length', list(depths.map(() => context))],
    ['page_table', table(0, rows)],
    ['boundary_page_table', table(0, rows)],
    // The first row is at depth 0, so that the list has one.
    ['entering_rows', list(depths.flatMap((depth, row) => (depth === 0 ? [row] : [])))],
    ['leaving_rows', list(leaving)],
    ['head_rows', list(leaving.map((row) => row * tokens + tokens - 1))],
  ]);
  let dealt = 0;
  for (const [g, size] of dealRows(rows, groups).entries()) {
    made.set(`page_table.${g}`, table(dealt, dealt + size));
    dealt += size;
  }
  // Hidden states and pages.
  const zeros = (dtype: EngineInput['dtype'], dims: GraphTensor['dims']): EngineInput => ({
    dtype,
    shape: dims.map((dim) => (typeof dim === 'number' ? dim : sizeOf(dim))),
  });
  return new Map(inputs.map(({ name, dtype, dims }) => [name, made.get(name) ?? zeros(dtype, dims)] as const));

  function sizeOf(dim: string): number {
    if (dim === 'page_count' || dim === 'boundary_page_count') return 1 + rows * width;
    // Those of groups add up to the rows of the step.
    invariant(dim === 'tokens' || dim.startsWith('rows'), `${stepGraphName} has no ${dim}`);
    return dim === 'tokens' ? tokens : rows;
  }
}
