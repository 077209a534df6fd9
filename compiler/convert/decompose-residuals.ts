import { createHash } from 'node:crypto';
import type { Matrix } from '../../convert/matrix.ts';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import type { ConvertProgress } from './convert-options.ts';
import { cutFactors, type Decomposing, encodeFactors, type Factorise, lostOf, zeroFactors } from './factorise.ts';
import type { PlannedMatrix } from './stored-tensors.ts';
import { storedFloats, subtractShared } from './tensor-values.ts';
import { decompositionWork, workClock } from './work-clock.ts';
import type { FinishedMatrix, WorkFolder } from './work-folder.ts';

/** A matrix and the rank that its factors are to be computed with; 0: none. */
export interface RankedMatrix {
  readonly matrix: PlannedMatrix;
  readonly rank: number;
}

/** What a matrix became; its factors are in the work folder under `key`. */
export interface DecomposedMatrix extends RankedMatrix, Omit<FinishedMatrix, 'a' | 'b' | 'rank' | 'rows' | 'cols'> {
  readonly key: string;
}

export interface DecomposeOptions {
  readonly work: WorkFolder;
  readonly decomposing: Decomposing;
  /** SHA-256 of each tensor of the original, by name. */
  readonly hashes: ReadonlyMap<string, string>;
  readonly init: 'svd' | 'zero';
  /** How a matrix is taken apart; by default for the Frobenius norm. */
  readonly factoriseOf: (matrix: PlannedMatrix) => Promise<Factorise>;
  /** What else the factors depend on, such as the calibration text's hash. */
  readonly basis: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
}

/**
 * Takes apart what sharing lost of each matrix, or finds that it is done already. Of the matrices two are in memory,
 * and what decomposing takes. Rejects with the signal's reason when it aborts; what is finished stays.
 * @param ranked matrices with the same stored tensor have to follow each other to be fast
 */
export async function decomposeResiduals(
  ranked: readonly RankedMatrix[],
  options: DecomposeOptions,
): Promise<Result<{ readonly matrices: readonly DecomposedMatrix[]; readonly resumed: number }>> {
  const { work, signal, onProgress, decomposing, init, factoriseOf } = options;
  const workOf = ({ matrix: { rows, cols }, rank }: RankedMatrix) =>
    rank === 0 || init === 'zero' ? rows * cols : decompositionWork(rows, cols, rank);
  const clock = workClock(ranked.reduce((sum, each) => sum + workOf(each), 0));
  const done: DecomposedMatrix[] = [];
  let resumed = 0;
  const residuals = residualReader();
  for (const [i, each] of ranked.entries()) {
    signal?.throwIfAborted();
    const { matrix, rank } = each;
    const secondsLeft = clock.secondsLeft();
    onProgress?.({
      step: `decompose stored layer ${matrix.use.stored}`,
      detail: `layer ${matrix.layer} ${matrix.module}`,
      done: i,
      total: ranked.length,
      ...(secondsLeft === undefined ? {} : { secondsLeft }),
    });
    const key = keyOf(each, options);
    const { dtype } = matrix.shared;
    // Without factors there is nothing that is worth keeping.
    let finished = rank === 0 ? undefined : await work.read(key);
    if (finished === undefined) {
      const computed = await compute();
      if (!computed.ok) return computed;
      finished = computed.value;
      clock.did(workOf(each));
    } else {
      resumed++;
      clock.skipped(workOf(each));
    }
    const { singular, original, residual, lost } = finished;
    done.push({ matrix, rank, key, dtype, singular, original, residual, lost });

    async function compute(): Promise<Result<FinishedMatrix>> {
      const { rows, cols } = matrix;
      const read = await residuals.read(matrix);
      if (!read.ok) return read;
      const { values, original, residual } = read.value;
      const zero = init === 'zero' || residual === 0 || rank === 0;
      const factors = zero
        ? { ...zeroFactors(rows, cols, rank, `${matrix.layer} ${matrix.module}`), singular: new Float64Array() }
        : await (await factoriseOf(matrix))(values, rank);
      const encoded = encodeFactors(dtype, factors);
      const lost = zero ? residual : await lostOf(values, encoded, rank, dtype, decomposing);
      const { singular } = factors;
      const made: FinishedMatrix = { dtype, rows, cols, rank, ...encoded, singular, original, residual, lost };
      const written = rank === 0 ? success(undefined) : await work.write(key, made);
      return written.ok ? success(made) : written;
    }
  }
  return success({ matrices: done, resumed });
}

/** Cuts decomposed matrices to the ranks that were found for them, and measures what is lost then. */
export async function cutToRanks(
  matrices: readonly DecomposedMatrix[],
  rankOf: (matrix: DecomposedMatrix) => number,
  { work, decomposing, signal, onProgress }: DecomposeOptions,
): Promise<Result<readonly DecomposedMatrix[]>> {
  const residuals = residualReader();
  const cut: DecomposedMatrix[] = [];
  for (const [i, decomposed] of matrices.entries()) {
    signal?.throwIfAborted();
    const { matrix, key, dtype } = decomposed;
    const rank = rankOf(decomposed);
    onProgress?.({
      step: 'measure',
      done: i,
      total: matrices.length,
      detail: `layer ${matrix.layer} ${matrix.module}`,
    });
    if (rank === decomposed.rank || decomposed.residual === 0 || rank === 0) {
      cut.push({ ...decomposed, rank, lost: rank === 0 ? decomposed.residual : decomposed.lost });
      continue;
    }
    const finished = await work.read(key);
    if (finished === undefined) return failure(goneFromWork(work));
    const read = await residuals.read(matrix);
    if (!read.ok) return read;
    const lost = await lostOf(read.value.values, cutFactors(dtype, finished, rank), rank, dtype, decomposing);
    cut.push({ ...decomposed, rank, lost });
  }
  return success(cut);
}

/** Somebody has removed a finished matrix while it was needed. */
export function goneFromWork({ path }: WorkFolder) {
  const message = `A finished matrix is not in "${path}" any more, or was changed.`;
  return {
    severity: 'error',
    code: 'altered-file',
    location: { file: path },
    message,
    hint: 'Convert again.',
  } as const;
}

/** Reads residuals, each stored matrix once for all the layers that it stands for. */
function residualReader() {
  let last: { readonly name: string; readonly values: Float32Array } | undefined;
  return {
    read: async ({
      source,
      shared,
      rows,
      cols,
    }: PlannedMatrix): Promise<
      Result<{ readonly values: Matrix; readonly original: number; readonly residual: number }>
    > => {
      try {
        if (last?.name !== shared.name) {
          // Gone before the next comes, or there would be three.
          last = undefined;
          last = { name: shared.name, values: await storedFloats(shared) };
        }
        const data = new Float32Array(rows * cols);
        return success({ values: { rows, cols, data }, ...(await subtractShared(source, last.values, data)) });
      } catch (error) {
        return failure(fileDiagnostic(error, { file: source.file.absolutePath }, 'read'));
      }
    },
  };
}

/** Everything that the result of a matrix depends on. */
function keyOf({ matrix, rank }: RankedMatrix, { hashes, init, basis }: DecomposeOptions): string {
  const { layer, module, source, shared, rows, cols } = matrix;
  const bytesOf = (tensor: { readonly name: string; readonly dtype: string }) => [
    tensor.dtype,
    hashes.get(tensor.name),
  ];
  const parts = {
    place: [layer, module, rows, cols],
    original: bytesOf(source),
    shared: [shared.dtype, ...shared.sources.map(bytesOf)],
    factors: [rank, init, rank === 0 || init === 'zero' ? '' : basis],
  };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
