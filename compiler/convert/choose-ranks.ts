import { failure, type Result, success } from '../../files/diagnostics.ts';
import { linearModules } from '../read/expected-tensors.ts';
import type { SourceModel } from '../read/source-model.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { RankedMatrix } from './decompose-residuals.ts';
import { wholeUpTo } from './factorise.ts';
import { selectRanks } from './select-ranks.ts';
import type { PlannedMatrix, StoredTensor } from './stored-tensors.ts';

/** How large factors may become, and which matrices may have some. */
export interface RankPlan {
  readonly ranked: readonly RankedMatrix[];
  /** Parameters that all factors may have together; undefined where the ranks are given. */
  readonly budget: number | undefined;
}

/**
 * The rank of every matrix: what is asked for, capped at its size; or for a budget the rank up to which singular values
 * are computed at first. A layer that stands for itself alone has lost nothing and has no factors.
 */
export function chooseRanks(
  model: SourceModel,
  matrices: readonly PlannedMatrix[],
  parameters: { readonly original: number; readonly stored: number },
  { lora }: Pick<ConvertOptions, 'lora'>,
): Result<RankPlan> {
  const uses = new Map<number, number>();
  for (const { layer, use } of matrices.filter(({ module }) => module === matrices[0]?.module)) {
    if (use.depth !== undefined && layer >= 0) uses.set(use.stored, (uses.get(use.stored) ?? 0) + 1);
  }
  const shares = ({ use, source, shared }: PlannedMatrix) =>
    use.depth !== undefined && ((uses.get(use.stored) ?? 0) > 1 || !isCopy(shared, source.name));
  const least = ({ rows, cols }: PlannedMatrix) => Math.min(rows, cols);
  const none = matrices.map((matrix) => ({ matrix, rank: 0 }));
  if (lora === undefined) return success({ ranked: none, budget: undefined });
  if ('rank' in lora) {
    const rankOf = selectRanks(lora.rank, linearModules(model.spec), Math.max(1, ...uses.values()));
    if (!rankOf.ok) return rankOf;
    const ranked = matrices.map((matrix) => {
      const asked = shares(matrix) ? rankOf.value(matrix.module, matrix.use.depth!) : 0;
      return { matrix, rank: Math.min(asked, least(matrix)) };
    });
    return success({ ranked, budget: undefined });
  }
  const budget = Math.floor(lora.parameters * parameters.original) - parameters.stored;
  const candidates = matrices.filter(shares);
  const each = candidates.reduce((sum, { rows, cols }) => sum + rows + cols, 0);
  if (budget < Math.min(...candidates.map(({ rows, cols }) => rows + cols))) {
    const share = (n: number) => `${((100 * n) / parameters.original).toFixed(1)} %`;
    const message = `The shared layers alone have ${share(parameters.stored)} of the original's parameters; ${share(lora.parameters * parameters.original)} leave no room for factors.`;
    return failure({
      severity: 'error',
      code: 'budget-too-small',
      message,
      hint: `Give more than ${(Math.ceil((1000 * parameters.stored) / parameters.original + 1) / 1000).toFixed(3)}, or share by more loops.`,
    });
  }
  const equal = Math.max(1, Math.floor(budget / each));
  const ranked = matrices.map((matrix) => {
    const first = least(matrix) <= wholeUpTo ? least(matrix) : 64 * Math.ceil((2 * equal) / 64);
    return { matrix, rank: shares(matrix) ? Math.min(first, least(matrix)) : 0 };
  });
  return success({ ranked, budget });
}

function isCopy({ sources }: StoredTensor, name: string): boolean {
  return sources.length === 1 && sources[0]!.name === name;
}
