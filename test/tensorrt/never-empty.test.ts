import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { readPackage } from '../../files/package.ts';
import { makeTensor } from '../../ir/interpret/tensor.ts';
import type { StepReport } from '../../runtime/depth-batched/core.ts';
import { openStepModel } from '../../runtime/depth-batched/open-step-model.ts';
import type { GenerationRequest } from '../../runtime/depth-batched/request.ts';
import { modelFolder } from '../package/simple-package.ts';
import { drawSchedule } from '../runtime/depth-batched/draw-schedule.ts';
import { type Outcome, runSchedule } from '../runtime/depth-batched/run-schedule.ts';
import { stepPackage } from '../runtime/depth-batched/step-package.ts';
import { expectClose } from '../support/expect-close.ts';
import { randomStream } from '../support/random.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { compiled } from './packages.ts';

/**
 * Graphs for engines take no empty list; ONNX Runtime has no Attention of no rows either, and no largest of no logits.
 * The runtime has to get by: with a step of which nobody enters or leaves, of which nobody asks, with fewer rows than
 * groups, and with rows behind which there is nothing yet.
 */
let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-never-empty-'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

type Case = Pick<CompileOptions, 'precision' | 'attentionGroups'> & {
  readonly attention: 'native' | 'parts';
  readonly threshold: number;
};

const cases: readonly (readonly [string, Case])[] = [
  ['kjv-relaxed', { attention: 'parts', threshold: 0.35 }],
  ['kjv-relaxed', { attention: 'native', precision: 'f16', threshold: 0.35 }],
  ['llama-middle-cycle', { attention: 'parts', attentionGroups: 3, threshold: 1 }],
  ['llama-middle-cycle', { attention: 'native', precision: 'f16', attentionGroups: 2, threshold: 1 }],
  // Its second largest logit is what TopK has not of no rows.
  ['margin', { attention: 'parts', threshold: 0.02 }],
  ['margin', { attention: 'native', attentionGroups: 4, threshold: 0.02 }],
];

describe.each(cases)('%s, %o', (name, { attention, threshold, ...options }) => {
  test('schedules give the tokens of a package for ONNX Runtime', async () => {
    const random = randomStream(`${name} ${attention}`);
    const below = (limit: number) => Math.floor(random() * limit);
    const out = mkdtempSync(join(scratch, `${name}-`));
    const model = name === 'margin' ? marginModel(join(out, 'model')) : modelFolder(name);
    const plain = await stepPackage({ model, out: join(out, 'plain'), ...options });
    const { folder } = await compiled({
      model,
      out: join(out, 'tensorrt'),
      pageSize: 16,
      ...options,
      ...target(attention),
    });
    const read = await readPackage(folder!);
    if (!read.ok) return expect.fail(JSON.stringify(read.diagnostics));
    expect(read.value.manifest.tensorrt!.attention).toBe(attention);
    const opened = await openStepModel(read.value, { pages: 200, boundaryPages: 200, threads: 1 });
    if (!opened.ok) return expect.fail(JSON.stringify(opened.diagnostics));
    const driven = opened.value;
    const { vocabulary, loops, groups, prelude, coda } = driven.shape;
    const requests = Array.from({ length: 5 }, (_, i): GenerationRequest => {
      const trace = Array.from({ length: 12 }, () => 1 + below(loops));
      return {
        prompt: Array.from({ length: i === 0 ? 19 : 1 + below(6) }, () => below(vocabulary)),
        maxNewTokens: 4 + below(6),
        ignoreEos: true,
        exit: options.precision || i % 2 === 0 ? { kind: 'trace', exits: trace } : { kind: 'threshold', threshold },
      };
    });
    const reports: StepReport[] = [];
    try {
      for (const kvPolicy of ['last-exited', 'propagate', 'complete', 'shared'] as const) {
        const logits = options.precision !== undefined;
        const { outcomes } = await runSchedule(plain, { maxRows: 3, kvPolicy, logits }, joining(requests));
        const drawn = drawSchedule(random, driven.shape, requests, { kvPolicy, logits });
        const run = await runSchedule(driven, drawn.options, drawn.requests);
        for (const [i, found] of run.outcomes.entries()) {
          const what = `request ${i} of ${JSON.stringify(drawn)}`;
          if (logits) expectNear(found, outcomes[i]!, what);
          else expect(chosen(found), what).toEqual(chosen(outcomes[i]!));
        }
        reports.push(...run.reports);
      }
    } finally {
      await Promise.all([plain.close(), driven.close()]);
    }
    const some = (holds: (report: StepReport) => boolean) => reports.some(holds);
    expect({
      nobodyAsks: some(({ heads }) => heads === 0),
      nobodyEnters: some(({ rows }) => rows.every(({ depth }) => depth > 0)),
      nobodyLeaves: some(({ rows }) => rows.every(({ depth }) => depth === 0)),
      fewerThanGroups: groups === 1 || some(({ rows }) => rows.length < groups),
    }).toEqual({ nobodyAsks: true, nobodyEnters: true, nobodyLeaves: true, fewerThanGroups: true });
    expect(prelude + coda).toBe(name === 'kjv-relaxed' ? 0 : 2);
  });
});

function chosen({ tokens, exits }: Outcome) {
  return { tokens, exits };
}

/** In 16 bits: logits are near each other as long as the tokens are the same, and where they first are not. */
function expectNear(found: Outcome, expected: Outcome, what: string): void {
  expect(found.exits, what).toEqual(expected.exits);
  const different = found.tokens.findIndex((token, i) => token !== expected.tokens[i]);
  const compared = different < 0 ? found.tokens.length : different + 1;
  for (let i = 0; i < compared; i++) {
    const [ours, theirs] = [found, expected].map(({ logits }) => flat(logits[i]!));
    expectClose(ours!, theirs!, 1e-2, `${what}, token ${i}`);
  }
}

function flat(logits: Float32Array) {
  return makeTensor('f32', [logits.length], Float64Array.from(logits));
}

function target(attention: Case['attention']) {
  return { target: 'tensorrt', tensorrt: { attention, build: false } } as const;
}

function marginModel(folder: string): string {
  const exits = { after: [1, 2], confidence: 'margin' } as const;
  makeTinyModel(folder, { prelude: 1, coda: 1, loops: 3, exits, ranks: [1, 2, 0], vocabSize: 40 });
  return folder;
}

function joining(requests: readonly GenerationRequest[]) {
  return requests.map((request, i) => ({ request, joins: 2 * i }));
}
