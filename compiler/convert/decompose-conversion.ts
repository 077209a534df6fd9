import { type Result, success } from '../../files/diagnostics.ts';
import { linearModules } from '../read/expected-tensors.ts';
import type { RankPlan } from './choose-ranks.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { ConvertParts } from './convert-parts.ts';
import { cutToRanks, type DecomposedMatrix, type DecomposeOptions, decomposeResiduals } from './decompose-residuals.ts';
import { plainFactors } from './factorise.ts';
import type { Conversion } from './plan-conversion.ts';
import type { WorkFolder } from './work-folder.ts';

export interface Decomposed {
  /** By layer of the original, with their final ranks. */
  readonly matrices: readonly DecomposedMatrix[];
  readonly resumed: number;
}

/** Takes apart every matrix of a conversion; for a budget, as far as it takes to know what ranks are the best. */
export async function decomposeConversion(
  conversion: Conversion,
  options: ConvertOptions,
  {
    parts,
    work,
    hashes,
  }: { readonly parts: ConvertParts; readonly work: WorkFolder; readonly hashes: ReadonlyMap<string, string> },
): Promise<Result<Decomposed>> {
  const { model, ranks } = conversion;
  const { lora, threads, signal, onProgress, loraInit: init = 'svd' } = options;
  const opened = await parts.openDecomposer({ ...(threads && { threads }), ...(signal && { signal }) });
  if (!opened.ok) return opened;
  const decomposing = opened.value;
  try {
    const text = lora?.calibration;
    const calibration =
      text === undefined
        ? success({ basis: 'frobenius', factoriseOf: async () => plainFactors(decomposing) })
        : await parts.openCalibration(model, text, {
            decomposing,
            folder: work.path,
            hashes,
            threads,
            signal,
            onProgress,
          });
    if (!calibration.ok) return calibration;
    const how: DecomposeOptions = { work, decomposing, hashes, init, ...calibration.value, signal, onProgress };
    // Those with one stored matrix behind each other: it is made once.
    const order = ranks.ranked.toSorted((a, b) => {
      const [x, y] = [a.matrix, b.matrix];
      return x.use.stored - y.use.stored || compare(x.module, y.module) || x.layer - y.layer;
    });
    const found = ranks.budget === undefined ? await decomposeResiduals(order, how) : await allot(order, ranks.budget);
    if (!found.ok) return found;
    const modules = linearModules(model.spec).map(({ path }) => path);
    const place = ({ matrix }: DecomposedMatrix) => matrix.layer * modules.length + modules.indexOf(matrix.module);
    return success({ ...found.value, matrices: found.value.matrices.toSorted((a, b) => place(a) - place(b)) });

    async function allot(ranked: RankPlan['ranked'], budget: number): Promise<Result<Decomposed>> {
      // Behind each other as the layers run.
      const weighed = ranked
        .flatMap(({ matrix, rank }) => (rank > 0 ? [matrix] : []))
        .toSorted((a, b) => a.layer - b.layer);
      const effects = await parts.measureEffects?.(model, weighed, { text, threads, signal, onProgress });
      if (effects?.ok === false) return effects;
      const effectOf = new Map(weighed.map((matrix, i) => [matrix, effects?.value[i]]));
      let tried = ranked;
      for (let resumed: number | undefined; ; ) {
        const done = await decomposeResiduals(tried, how);
        if (!done.ok) return done;
        resumed ??= done.value.resumed;
        const { matrices } = done.value;
        const keyOf = ({ matrix }: DecomposedMatrix) => `${matrix.layer} ${matrix.module}`;
        const candidates = matrices.flatMap((each) => {
          const { rows, cols } = each.matrix;
          if (each.rank === 0) return [];
          const effect = effectOf.get(each.matrix);
          // σ² of a weighted matrix is a part of what the module's output changes by, of a plain one of its own norm.
          const all = text === undefined ? each.residual : effect?.output;
          const share = effect === undefined ? 1 : all === 0 ? 0 : effect.state / all!;
          return [{ key: keyOf(each), rows, cols, singular: each.singular.map((s) => s * Math.sqrt(share)) }];
        });
        const allotted = parts.allotRanks(candidates, budget);
        const rankOf = (each: DecomposedMatrix) => allotted.get(keyOf(each)) ?? 0;
        // One that got all that was computed of it may deserve more.
        const larger = matrices.map((each) => {
          const { matrix, rank } = each;
          const most = Math.min(matrix.rows, matrix.cols);
          return { matrix, rank: rank > 0 && rankOf(each) === rank ? Math.min(2 * rank, most) : rank };
        });
        if (larger.every(({ rank }, i) => rank === tried[i]!.rank)) {
          const cut = await cutToRanks(matrices, rankOf, how);
          return cut.ok ? success({ matrices: cut.value, resumed }) : cut;
        }
        tried = larger;
      }
    }
  } finally {
    await decomposing.close();
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
