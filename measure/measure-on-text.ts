import { readFile } from 'node:fs/promises';
import { failure, type Result, success } from '../files/diagnostics.ts';
import { fileDiagnostic } from '../files/file-diagnostic.ts';
import type { KvPolicy } from '../runtime/depth-batched/core.ts';
import { createCore } from '../runtime/depth-batched/create-core.ts';
import type { StepModel } from '../runtime/depth-batched/step-model.ts';
import type { TextTokenizer } from '../runtime/tokenizer.ts';
import type { BenchDocument } from './bench-document.ts';
import { measureQuality } from './quality.ts';
import { textWindows } from './quality-text.ts';

/** Thresholds of the sweep, beside that of full depth. */
const thresholds = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];

/** Tokens that are predicted from one window; shorter where the model has fewer positions. */
const windowTokens = 128;

/** Rows of a step, and windows that are read at once. */
export const qualityRows = 16;

const policies: readonly KvPolicy[] = ['last-exited', 'propagate', 'complete', 'shared'];

export interface TextQualityOptions {
  /** Whether the package has a graph for the KV policy `propagate`. */
  readonly propagate: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (step: string, done?: number, total?: number) => void;
}

/** Reads a text's first `tokens` tokens, cut into windows that the model has positions for. */
export async function readTextWindows(
  file: string,
  tokenizer: TextTokenizer | undefined,
  tokens: number,
  positions: number,
): Promise<Result<readonly (readonly number[])[]>> {
  if (tokenizer === undefined) {
    return failure({
      severity: 'error',
      code: 'no-tokenizer',
      location: { file },
      message: 'The package has no tokenizer.json, so text cannot become tokens.',
      hint: 'Put a tokenizer.json beside the model and compile again.',
    });
  }
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    return failure(fileDiagnostic(error, { file }, 'read'));
  }
  const windows = textWindows(tokenizer.encode(text).slice(0, tokens), Math.min(windowTokens + 1, positions));
  if ((windows[0]?.length ?? 0) >= 3) return success(windows);
  return failure({
    severity: 'error',
    code: 'short-text',
    location: { file },
    message: 'The text has fewer than three tokens; the first two of a window predict nothing that a rule decides.',
  });
}

/** Accuracy against threshold under every KV policy, and how fast each is. */
export async function measureOnText(
  model: StepModel,
  text: string,
  windows: readonly (readonly number[])[],
  { propagate, signal, onProgress }: TextQualityOptions,
): Promise<NonNullable<BenchDocument['quality']>> {
  const length = windows[0]!.length;
  const { loops, exits } = model.shape;
  const rows = await measureQuality({
    windows,
    exits: [
      ...(exits.length === 0 ? [] : thresholds.map((threshold) => ({ kind: 'threshold', threshold }) as const)),
      ...Array.from({ length: loops - 1 }, (_, i) => ({ kind: 'fixed', loop: loops - 1 - i }) as const),
    ],
    kvPolicies: policies.filter((policy) => policy !== 'propagate' || propagate),
    newCore: (kvPolicy) => createCore(model, { maxRows: qualityRows, kvPolicy }),
    rate: {
      sequences: 2 * qualityRows,
      promptTokens: Math.ceil(length / 4),
      newTokens: Math.max(2, Math.floor(length / 4)),
      rounds: 3,
    },
    ...(signal === undefined ? {} : { signal }),
    onProgress: (done, of) => onProgress?.('reading the text', done, of),
  });
  return {
    text: text.split(/[\\/]/).at(-1)!,
    tokens: rows[0]!.tokens,
    rows: rows.map(({ exit, kvPolicy, perplexity, agreement, meanExit, tokensPerSecond }) => ({
      ...(exit.kind === 'threshold' ? { threshold: exit.threshold } : { loop: exit.loop }),
      kvPolicy,
      perplexity,
      agreement,
      meanExit,
      ...(tokensPerSecond === undefined ? {} : { tokensPerSecond }),
    })),
  };
}
