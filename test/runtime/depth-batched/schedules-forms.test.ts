import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeTensor } from '../../../ir/interpret/tensor.ts';
import type { GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import { modelFolder } from '../../package/simple-package.ts';
import { expectClose } from '../../support/expect-close.ts';
import { randomStream } from '../../support/random.ts';
import { referenceModel } from '../../support/reference-model.ts';
import { tokenRows } from '../../support/token-rows.ts';
import { drawSchedule } from './draw-schedule.ts';
import { runSchedule } from './run-schedule.ts';
import { stepPackage } from './step-package.ts';

/** Other ways to compile a model than the tests beside this one use. */
const forms = [
  ['gpt-neox-relaxed', { dialect: 'ort', attentionGroups: 2, lora: 'gather' }],
  ['llama-middle-cycle', { dialect: 'ort', attentionGroups: 4, pageSize: 32 }],
  ['kjv-relaxed', { dialect: 'portable', attentionGroups: 3, lora: 'concatenate' }],
  ['kjv-teacher', { dialect: 'ort', attentionGroups: 1 }],
  ['kjv-relaxed', { precision: 'f16', dialect: 'portable', attentionGroups: 1 }],
  ['llama-relaxed', { precision: 'f16', dialect: 'ort', attentionGroups: 2, lora: 'gather' }],
] as const;

test.each(forms)('%s, %o: schedules give the same tokens, and rows the same bits', async (name, options) => {
  const folder = mkdtempSync(join(tmpdir(), 'rtc-forms-'));
  const model = await stepPackage({ model: modelFolder(name), out: join(folder, 'package'), ...options });
  try {
    const { reference } = await referenceModel(name);
    const random = randomStream(`${name} ${JSON.stringify(options)}`);
    const below = (limit: number) => Math.floor(random() * limit);
    const prompts = tokenRows(reference.get('input_ids')!);
    const generated = tokenRows(reference.get('generated')!);
    const isHalf = 'precision' in options;
    expect(model.shape).toMatchObject({ dtype: isHalf ? 'f16' : 'f32', groups: options.attentionGroups });
    const sequences = prompts.flatMap((prompt, row) =>
      [0, 5, 9].map((given) => {
        const request: GenerationRequest = {
          prompt: [...prompt, ...generated[row]!.slice(0, given)],
          maxNewTokens: 4 + below(6),
          ignoreEos: true,
          exit: { kind: 'threshold', threshold: 1 },
        };
        return { request, expected: generated[row]!.slice(given, given + request.maxNewTokens) };
      }),
    );
    const requests = sequences.map(({ request }) => request);
    for (const kvPolicy of ['last-exited', 'propagate', 'complete'] as const) {
      const drawn = drawSchedule(random, model.shape, requests, { kvPolicy, logits: true });
      const { outcomes } = await runSchedule(model, drawn.options, drawn.requests);
      const { prefillChunk } = drawn.options;
      for (const [i, request] of requests.entries()) {
        const how = { maxRows: 1, kvPolicy, logits: true, ...(prefillChunk === undefined ? {} : { prefillChunk }) };
        const alone = await runSchedule(model, how, [{ request, joins: 0 }]);
        const what = `sequence ${i} of ${JSON.stringify(drawn.options)}`;
        expect(outcomes[i], what).toEqual(alone.outcomes[0]);
        if (!isHalf) expect(outcomes[i]!.tokens, what).toEqual(sequences[i]!.expected);
      }
    }
    if (isHalf) {
      // In 16 bits another token may be the likeliest; logits tell whether that is for rounding alone.
      const logits = reference.get('logits')!;
      const [, width, vocabulary] = logits.shape as [number, number, number];
      for (const [row, prompt] of prompts.entries()) {
        const request = { prompt, maxNewTokens: 1, exit: { kind: 'threshold', threshold: 1 } } as const;
        const run = await runSchedule(model, { maxRows: 1, logits: true }, [{ request, joins: 0 }]);
        const start = ((row + 1) * width - 1) * vocabulary;
        const flat = (data: ArrayLike<number>) => makeTensor('f32', [vocabulary], Float64Array.from(data));
        const expected = flat(logits.data.subarray(start, start + vocabulary));
        expectClose(flat(run.outcomes[0]!.logits[0]!), expected, 1e-2, `row ${row}`);
      }
    }
  } finally {
    await model.close();
    rmSync(folder, { recursive: true });
  }
});
