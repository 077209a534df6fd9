import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { readModel } from '../../read/read-model.ts';
import type { ConvertResult } from '../convert-result.ts';
import { cutLora } from './cut-lora.ts';
import { type EvaluateOptions, scoreModel } from './evaluate-text.ts';
import type { EvaluationText } from './evaluation-text.ts';
import type { TextScore } from './score-windows.ts';

/** What converting did to how well a text is known. */
export interface ConversionEvaluation {
  /** Name of the text's file. */
  readonly text: string;
  readonly windows: number;
  /** Tokens of a window. */
  readonly window: number;
  readonly original: TextScore;
  readonly converted: TextScore;
  /** In the order in which they were asked for. */
  readonly ranks: readonly RankScore[];
}

/** The converted model with factors of at most this rank. */
export interface RankScore extends TextScore {
  readonly rank: number;
  /** Parameters of its stored layers, factors included. */
  readonly convertedLayers: number;
}

/**
 * Reads a text with the original, with the converted model, and with the converted model at lower ranks, whose factors
 * are the ones that were written, cut: nothing is decomposed again.
 * @param ranks a rank that is not below any matrix's gives the converted model
 */
export async function evaluateConversion(
  { source, folder, matrices, parameters }: Pick<ConvertResult, 'source' | 'folder' | 'matrices' | 'parameters'>,
  text: EvaluationText,
  {
    ranks = [],
    scratch = tmpdir(),
    ...options
  }: EvaluateOptions & { readonly ranks?: readonly number[] | undefined } = {},
): Promise<Result<ConversionEvaluation>> {
  const { signal } = options;
  const read = await readModel(folder, signal ? { signal } : {});
  if (!read.ok) return read;
  const model = read.value;
  const largest = matrices.reduce((most, { rank }) => Math.max(most, rank), 0);
  const original = await scoreModel(source, text, { ...options, scratch, step: 'evaluate the original' });
  if (!original.ok) return original;
  const converted = await scoreModel(model, text, { ...options, scratch, step: 'evaluate the converted model' });
  if (!converted.ok) return converted;
  const scores: RankScore[] = [];
  for (const rank of ranks) {
    const lora = matrices.reduce((sum, { rows, cols, ...each }) => sum + Math.min(rank, each.rank) * (rows + cols), 0);
    const score = rank >= largest ? converted : await cutAndScore(rank);
    if (!score.ok) return score;
    scores.push({ rank, convertedLayers: parameters.storedLayers + lora, ...score.value });
  }
  return success({
    text: text.name,
    windows: text.windows.length,
    window: text.windows[0]!.length,
    original: original.value,
    converted: converted.value,
    ranks: scores,
  });

  async function cutAndScore(rank: number): Promise<Result<TextScore>> {
    let made: string | undefined;
    try {
      made = await mkdtemp(join(resolve(scratch), '.rtc-rank-'));
      const cut = await cutLora(model, rank, join(made, basename(model.folder)));
      if (!cut.ok) return cut;
      return await scoreModel(cut.value.model, text, { ...options, scratch, step: `evaluate rank ${rank}` });
    } catch (error) {
      if (signal?.aborted) return failure({ severity: 'error', code: 'interrupted', message: 'Interrupted.' });
      if ((error as NodeJS.ErrnoException).code !== undefined)
        return failure(fileDiagnostic(error, { file: scratch }, 'write'));
      throw error;
    } finally {
      if (made !== undefined) await rm(made, { recursive: true, force: true });
    }
  }
}
