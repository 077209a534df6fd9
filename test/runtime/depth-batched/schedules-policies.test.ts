import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Batching, KvPolicy } from '../../../runtime/depth-batched/core.ts';
import type { ExitRule, GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import type { StepModel } from '../../../runtime/depth-batched/step-model.ts';
import { modelFolder } from '../../package/simple-package.ts';
import { type KvPolicyReference, kvPolicyReference } from '../../support/kv-policy-reference.ts';
import { randomStream } from '../../support/random.ts';
import { referenceModel } from '../../support/reference-model.ts';
import { tokenRows } from '../../support/token-rows.ts';
import { clearThreshold } from './clear-threshold.ts';
import { drawSchedule } from './draw-schedule.ts';
import { expectLikeReference, type ReferenceCase, referenceCase } from './expect-like-reference.ts';
import { runSchedule } from './run-schedule.ts';
import { stepPackage } from './step-package.ts';

const policies: readonly KvPolicy[] = ['last-exited', 'propagate', 'complete', 'shared'];
const batchings: readonly Batching[] = ['depth-wise', 'sequence-wise', 'sequence-wise-shrink'];

describe.each([
  'gemma-relaxed',
  'gpt-neox-relaxed',
  'kjv-relaxed',
  'llama-middle-cycle',
  'llama-relaxed',
])('%s', (name) => {
  let folder: string;
  let model: StepModel;
  let reference: KvPolicyReference;
  let prompts: readonly (readonly number[])[];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rtc-policies-'));
    model = await stepPackage({ model: modelFolder(name), out: join(folder, 'package') });
    const given = await referenceModel(name);
    reference = kvPolicyReference(given.model);
    const rows = tokenRows(given.reference.get('input_ids')!);
    prompts = [rows[0]!.slice(0, 5), rows[1]!.slice(0, 2)];
  });
  afterAll(async () => {
    await model.close();
    rmSync(folder, { recursive: true });
  });

  test.each(policies)('%s is what the reference says, by trace and by threshold, however batched', async (kvPolicy) => {
    const random = randomStream(`policies of ${name}, ${kvPolicy}`);
    const { loops, exits } = model.shape;
    const maxNewTokens = 6;
    const cases: ReferenceCase[] = [];
    for (const [i, prompt] of prompts.entries()) {
      const ask = { prompt, maxNewTokens, policy: kvPolicy };
      const trace = Array.from({ length: maxNewTokens }, () => 1 + Math.floor(random() * loops));
      trace.splice(0, 3, loops, 1, loops);
      cases.push(await referenceCase(reference, ask, { kind: 'trace', exits: trace }));
      if (i > 0 || exits.length === 0) continue;
      const threshold = await clearThreshold(reference, ask, exits);
      if (threshold === undefined) expect.fail('there is no threshold that tells confidences apart');
      cases.push(await referenceCase(reference, ask, { kind: 'threshold', threshold }));
    }
    const requests = cases.map(({ request }) => request);
    for (const batching of batchings) {
      const drawn = drawSchedule(random, model.shape, requests, { kvPolicy, batching, logits: true });
      const { outcomes } = await runSchedule(model, drawn.options, drawn.requests);
      for (const [i, expected] of cases.entries()) {
        expectLikeReference(outcomes[i]!, expected, `${requests[i]!.exit?.kind}, ${JSON.stringify(drawn.options)}`);
      }
    }
  });

  test.each(policies)('%s: a recorded run gives the same tokens again, however batched', async (kvPolicy) => {
    const random = randomStream(`records of ${name}, ${kvPolicy}`);
    const { loops, vocabulary, exits } = model.shape;
    const threshold = await commonConfidence(model, kvPolicy);
    const requests = Array.from({ length: 6 }, (): GenerationRequest => {
      const prompt = Array.from({ length: 1 + Math.floor(random() * 20) }, () => Math.floor(random() * vocabulary));
      const made = Array.from({ length: 12 }, () => 1 + Math.floor(random() * loops));
      const exit: ExitRule = exits.length > 0 ? { kind: 'threshold', threshold } : { kind: 'trace', exits: made };
      return { prompt, maxNewTokens: 4 + Math.floor(random() * 9), ignoreEos: true, exit };
    });
    const first = drawSchedule(random, model.shape, requests, { kvPolicy, batching: 'depth-wise', prefillChunk: 4 });
    const recorded = await runSchedule(model, first.options, first.requests);
    const left = new Set(recorded.outcomes.flatMap((outcome) => outcome.exits.slice(1)));
    expect(left.size, 'loops behind which tokens left').toBeGreaterThan(1);
    const again = requests.map((request, i): GenerationRequest => {
      return { ...request, exit: { kind: 'trace', exits: recorded.outcomes[i]!.exits } };
    });
    for (const batching of batchings) {
      const drawn = drawSchedule(random, model.shape, again, { kvPolicy, batching, prefillChunk: 4 });
      const { outcomes } = await runSchedule(model, drawn.options, drawn.requests);
      expect(outcomes, JSON.stringify(drawn)).toEqual(recorded.outcomes);
    }
  });
});

/** What about half of all tokens pass, if they may leave behind the first loop. */
async function commonConfidence(model: StepModel, kvPolicy: KvPolicy): Promise<number> {
  const requests = [3, 5, 7, 9].map((token): GenerationRequest => {
    return { prompt: [token], maxNewTokens: 8, ignoreEos: true, exit: { kind: 'fixed', loop: 1 } };
  });
  const { outcomes } = await runSchedule(
    model,
    { maxRows: 4, kvPolicy },
    requests.map((request) => ({ request, joins: 0 })),
  );
  return outcomes.flatMap(({ confidences }) => confidences.slice(1)).toSorted((a, b) => a - b)[14]!;
}
