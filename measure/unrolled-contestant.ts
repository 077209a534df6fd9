import { generate } from '../runtime/generate.ts';
import type { LoadedPackage } from '../runtime/load-package.ts';
import type { Contestant, StepRecord } from './contestant.ts';
import { meanOf } from './statistics.ts';
import type { WorkItem } from './workload.ts';

/**
 * A package of the form `unrolled` decoding batch after batch of `rows` sequences of the workload's mean lengths, until
 * it has made as many tokens as the workload has. Sequences of a batch begin and end together, which is the best that
 * can happen to this form: no row is padded, and none ever leaves.
 */
export function unrolledContestant(loaded: LoadedPackage, workload: readonly WorkItem[], rows: number): Contestant {
  const steps: StepRecord[] = [];
  const all = workload.reduce((sum, { newTokens }) => sum + newTokens, 0);
  const { loops } = loaded.manifest.recursion;
  let clock = 0;
  let made = 0;
  let batch = 0;
  let stream: ReturnType<typeof nextBatch> | undefined;

  const nextBatch = () => {
    const { prompts, newTokens } = meanBatch(workload, rows, batch++);
    const started = generate(loaded, prompts, { maxNewTokens: newTokens, ignoreEos: true });
    if (!started.ok) throw new Error(started.diagnostics.map(({ message }) => message).join(' '));
    return { tokens: started.value, first: true };
  };

  const step = async () => {
    stream ??= nextBatch();
    const began = performance.now();
    const tokens: StepRecord['tokens'][number][] = [];
    // A generator yields the tokens of a step one after the other; asking for the first of them runs the step.
    while (tokens.length < rows) {
      const next = await stream.tokens.next();
      if (next.done) {
        stream = nextBatch();
        continue;
      }
      const { sequence, token, exit } = next.value;
      tokens.push({ request: sequence, token, exit, confidence: 0 });
    }
    const duration = performance.now() - began;
    const kind = stream.first ? 'prefill' : 'decode';
    stream.first = false;
    const record = tokens.map(({ request }) => ({ request, depth: loops - 1, tokens: 1, role: 'token' as const }));
    steps.push({ kind, start: clock, duration, run: duration, rows: record, heads: rows, tokens, steady: true });
    clock += duration;
    made += rows;
  };

  return {
    kind: 'unrolled',
    label: 'unrolled, every loop',
    advance: async (tokens, signal) => {
      while (made < Math.min(tokens, all) && signal?.aborted !== true) await step();
    },
    done: () => made >= all,
    tokens: () => made,
    steps,
    sequences: () => [],
    idle: () => 0,
  };
}

/** Prompts of the mean length, cut out of the workload's own one after the other, and the mean number of new tokens. */
function meanBatch(workload: readonly WorkItem[], rows: number, batch: number) {
  const text = workload.flatMap(({ prompt }) => prompt);
  const length = Math.max(1, Math.round(meanOf(workload.map(({ prompt }) => prompt.length))));
  const prompts = Array.from({ length: rows }, (_, row) =>
    Array.from({ length }, (_, i) => text[((batch * rows + row) * length + i) % text.length]!),
  );
  return { prompts, newTokens: Math.max(2, Math.round(meanOf(workload.map(({ newTokens }) => newTokens)))) };
}
