import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KvPolicy } from '../../../runtime/depth-batched/core.ts';
import type { GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import type { StepModel } from '../../../runtime/depth-batched/step-model.ts';
import { modelFolder } from '../../package/simple-package.ts';
import { randomStream } from '../../support/random.ts';
import { referenceModel, referenceNames } from '../../support/reference-model.ts';
import { tokenRows } from '../../support/token-rows.ts';
import { drawSchedule, rowOrders } from './draw-schedule.ts';
import { runSchedule } from './run-schedule.ts';
import { stepPackage } from './step-package.ts';

/**
 * Sequences that join at random steps, of random lengths, in batches and page pools of random sizes: each gives what
 * transformers generates. `RTC_RANDOM_SEED` draws other schedules, `RTC_RANDOM_SCHEDULES` another number of them for
 * each policy and order of a small model, half as many for the larger ones.
 */
const seed = Number(process.env.RTC_RANDOM_SEED ?? 2026);
const count = Number(process.env.RTC_RANDOM_SCHEDULES ?? 8);
/** No token leaves early, however this is said. */
const never = [
  { exit: { kind: 'threshold', threshold: 1 } },
  { exit: { kind: 'threshold', threshold: 7 } },
  {},
] as const;
const policies: readonly KvPolicy[] = ['last-exited', 'propagate', 'complete'];

/** What all schedules together came to. */
const seen = { schedules: 0, preemptions: 0, replayed: 0, mixed: 0 };

describe.each(referenceNames)('%s', (name) => {
  let folder: string;
  let model: StepModel;
  /** Known answers: prompts and what follows. */
  let known: readonly { readonly prompt: readonly number[]; readonly following: readonly number[] }[];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rtc-schedules-'));
    model = await stepPackage({ model: modelFolder(name), out: join(folder, 'package') });
    const { reference } = await referenceModel(name);
    const generated = tokenRows(reference.get('generated')!);
    known = [
      ...tokenRows(reference.get('input_ids')!).map((prompt, row) => ({ prompt, following: generated[row]! })),
      ...(await randomPrompts(name, model)),
    ];
  });
  afterAll(async () => {
    await model.close();
    rmSync(folder, { recursive: true });
  });

  const cases = policies.flatMap((kvPolicy) => rowOrders.map((rowOrder) => [kvPolicy, rowOrder] as const));
  test.each(cases)('%s, %s first: every sequence gets its own tokens', async (kvPolicy, rowOrder) => {
    for (let index = 0; index < (name.startsWith('kjv') ? count / 2 : count); index++) {
      const random = randomStream(`${seed} ${name} ${kvPolicy} ${rowOrder} ${index}`);
      const below = (limit: number) => Math.floor(random() * limit);
      const long = index % 4 === 0;
      const sequences = Array.from({ length: long ? 3 : 2 + below(5) }, () => {
        const { prompt, following } = known[below(known.length)]!;
        // A prompt that already has some of the answer goes on with the rest of it.
        const given = below(long ? 3 : Math.min(20, following.length - 1));
        const left = following.length - given;
        const length = long ? Math.min(24, left) : 1 + below(Math.min(8, left));
        const request: GenerationRequest = {
          prompt: [...prompt, ...following.slice(0, given)],
          maxNewTokens: length,
          ignoreEos: true,
          ...never[below(3)]!,
        };
        return { request, expected: following.slice(given, given + length) };
      });
      const requests = sequences.map(({ request }) => request);
      const endTokens = [sequences[0]!.expected[0]!];
      const fixed = { kvPolicy, rowOrder, endTokens };
      const drawn = drawSchedule(random, model.shape, requests, fixed, { tight: long });
      const run = await runSchedule(model, drawn.options, drawn.requests);
      const what = `schedule ${index}: ${JSON.stringify(drawn)}`;
      expect(
        run.outcomes.map(({ tokens }) => tokens),
        what,
      ).toEqual(sequences.map(({ expected }) => expected));
      expect(new Set(run.outcomes.flatMap(({ exits }) => exits)), what).toEqual(new Set([model.shape.loops]));
      seen.schedules += 1;
      seen.preemptions += run.preemptions;
      for (const { rows } of run.reports) {
        if (rows.some(({ role }) => role === 'replay')) seen.replayed += 1;
        if (new Set(rows.map(({ depth }) => depth)).size > 1) seen.mixed += 1;
      }
    }
  });
});

test('schedules were as many and as mixed as they should be', () => {
  if (count < 8) return;
  expect(seen.schedules).toBeGreaterThanOrEqual(500);
  expect(seen.preemptions, 'sequences that had to give their pages back').toBeGreaterThanOrEqual(50);
  expect(seen.replayed, 'steps that did work again').toBeGreaterThanOrEqual(50);
  expect(seen.mixed, 'steps with rows at several depths').toBeGreaterThanOrEqual(1000);
});

/** Prompts of any tokens, and what the model says to each of them alone where it is sure of its choices. */
async function randomPrompts(name: string, model: StepModel) {
  const random = randomStream(`${seed} ${name} prompts`);
  const found: { prompt: readonly number[]; following: readonly number[] }[] = [];
  while (found.length < 3) {
    const prompt = Array.from({ length: 1 + Math.floor(random() * 20) }, () =>
      Math.floor(random() * model.shape.vocabulary),
    );
    const request = {
      prompt,
      maxNewTokens: 24,
      ignoreEos: true,
      exit: { kind: 'fixed', loop: model.shape.loops },
    } as const;
    const alone = await runSchedule(model, { maxRows: 1, logits: true }, [{ request, joins: 0 }]);
    const { tokens, logits } = alone.outcomes[0]!;
    // Prompts are cut otherwise in a schedule, which may move a logit by a rounding error.
    const sure = logits.findIndex((row) => {
      const [first, second] = row.toSorted().toReversed() as unknown as [number, number];
      return first - second < 1e-3 * Math.max(Math.abs(first), Math.abs(second));
    });
    const following = sure < 0 ? tokens : tokens.slice(0, sure);
    if (following.length >= 8) found.push({ prompt, following });
  }
  return found;
}
