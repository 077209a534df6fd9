import type { Core, KvPolicy } from '../runtime/depth-batched/core.ts';
import type { ExitRule } from '../runtime/depth-batched/request.ts';
import { scoreText, type TextScores } from './quality-text.ts';
import { medianOf } from './statistics.ts';

/** When tokens leave: by their confidence, or all behind the same loop. A threshold of 1 never lets one leave. */
export type QualityExit = Extract<ExitRule, { readonly kind: 'threshold' | 'fixed' }>;

/** What becomes of a text under one rule and one policy. */
export interface QualityRow {
  readonly exit: QualityExit;
  readonly kvPolicy: KvPolicy;
  /** Tokens that the numbers are of: the first one that a window predicts runs all loops whatever the rule, and is left out. */
  readonly tokens: number;
  /** Mean of −ln of the probability of the text's own token. */
  readonly nats: number;
  /** e to that. */
  readonly perplexity: number;
  /** Part of the tokens for which the choice is that of the model at full depth. */
  readonly agreement: number;
  readonly meanExit: number;
  /** New tokens a second when the model goes on from the beginnings of the windows by itself; undefined: not measured. */
  readonly tokensPerSecond: number | undefined;
}

export interface QualityOptions {
  /** Token ids of pieces of the text, at least three each. */
  readonly windows: readonly (readonly number[])[];
  readonly exits: readonly QualityExit[];
  readonly kvPolicies: readonly KvPolicy[];
  /** A scheduler with all pages to itself, which the one before has no more use for. */
  readonly newCore: (kvPolicy: KvPolicy) => Core;
  /** How the rate is measured; undefined: not at all. */
  readonly rate?: {
    /** How many windows it goes on from, at most. */
    readonly sequences: number;
    readonly promptTokens: number;
    readonly newTokens: number;
    /** All settings take turns so often; the median counts. */
    readonly rounds: number;
  };
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, of: number) => void;
}

/**
 * What early exits do to a model: each rule under each policy on the same text, then how fast they are. The first row
 * is the model at full depth, which is the same under every policy but `shared`.
 */
export async function measureQuality(options: QualityOptions): Promise<readonly QualityRow[]> {
  const { windows, newCore, signal, rate } = options;
  const settings = qualitySettings(options);
  const steps = settings.length * (1 + (rate?.rounds ?? 0));
  let done = 0;
  const progress = () => options.onProgress?.(++done, steps);

  const scores: TextScores[] = [];
  for (const { exit, kvPolicy } of settings) {
    scores.push(await scoreText(newCore(kvPolicy), windows, exit, signal));
    progress();
  }
  const rates = settings.map((): number[] => []);
  for (let round = 0; round < (rate?.rounds ?? 0); round++) {
    // Every second round goes backwards, so that a machine that becomes slower is unfair to nobody.
    const order = settings.map((_, i) => (round % 2 === 0 ? i : settings.length - 1 - i));
    for (const i of order) {
      rates[i]!.push(await generationRate(newCore(settings[i]!.kvPolicy), settings[i]!.exit, options));
      progress();
    }
  }
  return settings.map((setting, i) => ({
    ...setting,
    ...summary(scores[i]!, scores[0]!),
    tokensPerSecond: rates[i]!.length === 0 ? undefined : medianOf(rates[i]!),
  }));
}

/**
 * Full depth first; then every rule under every policy, without what is the same again: nobody skips a loop at full
 * depth, and nobody reads a loop that everybody skips, so there policies are alike but for `shared`.
 */
function qualitySettings({ exits, kvPolicies }: QualityOptions): readonly Pick<QualityRow, 'exit' | 'kvPolicy'>[] {
  const full: QualityExit = { kind: 'threshold', threshold: 1 };
  const first = kvPolicies.find((policy) => policy !== 'shared') ?? 'last-exited';
  const fixed = exits.filter(({ kind }) => kind === 'fixed');
  const thresholds = exits.filter((exit) => exit.kind === 'threshold' && exit.threshold < 1);
  return [
    { exit: full, kvPolicy: first },
    ...kvPolicies.flatMap((kvPolicy) => {
      const own = kvPolicy === 'shared' ? [full, ...thresholds, ...fixed] : thresholds;
      return [...own, ...(kvPolicy === first ? fixed : [])].map((exit) => ({ exit, kvPolicy }));
    }),
  ];
}

function summary(
  { choices, exits, logProbabilities }: TextScores,
  full: TextScores,
): Pick<QualityRow, 'tokens' | 'nats' | 'perplexity' | 'agreement' | 'meanExit'> {
  const ruled = <T>(lists: readonly (readonly T[])[]) => lists.flatMap((list) => list.slice(1));
  const mean = (numbers: readonly number[]) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const fullChoices = ruled(full.choices);
  const nats = -mean(ruled(logProbabilities));
  return {
    tokens: fullChoices.length,
    nats,
    perplexity: Math.exp(nats),
    agreement: mean(ruled(choices).map((choice, i) => (choice === fullChoices[i] ? 1 : 0))),
    meanExit: mean(ruled(exits)),
  };
}

/** New tokens a second, prompts and the emptying batch at the end included. */
async function generationRate(
  core: Core,
  exit: QualityExit,
  { windows, rate, signal }: QualityOptions,
): Promise<number> {
  const { sequences, promptTokens, newTokens } = rate!;
  windows.slice(0, sequences).forEach((window, i) => {
    const prompt = window.slice(0, promptTokens);
    const taken = core.submit(i, { prompt, maxNewTokens: newTokens, ignoreEos: true, exit });
    if (!taken.ok) throw new Error(taken.diagnostics.map(({ message }) => message).join(' '));
  });
  const began = performance.now();
  let made = 0;
  for (let report = await core.step(); report !== undefined; report = await core.step()) {
    signal?.throwIfAborted();
    made += report.tokens.length;
  }
  return (made / (performance.now() - began)) * 1000;
}
