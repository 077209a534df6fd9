import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import type { KvPolicy } from '../../runtime/depth-batched/core.ts';
import { chooseToken } from '../../runtime/sampling.ts';
import { compiled } from '../e2e/open-package.ts';
import { randomStream } from '../support/random.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';
import { drawRequests, expectMixed, results, scenarioOf } from './draw-requests.ts';
import { findPython } from './python.ts';
import { generated } from './reference.ts';
import { type ClientRequest, runHarness } from './run-harness.ts';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));
const models = fileURLToPath(new URL('../models/', import.meta.url));

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-triton-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const found = await findPython();

/** The Python that runs the driver; a test without one says so and is skipped. */
function pythonOr({ skip }: TestContext): string {
  return 'path' in found ? found.path : skip(found.missing);
}

async function repository(model: string, name: string, options: Partial<CompileOptions> = {}): Promise<string> {
  return compiled({ model, out: join(scratch, name), target: 'triton', pageSize: 16, ...options });
}

let kjv: Promise<string> | undefined;

/** The trained example, compiled once. */
function trained(): Promise<string> {
  kjv ??= repository(join(examples, 'kjv-relaxed'), 'kjv');
  return kjv;
}

function tinyModel(name: string, options: Partial<TinyModelOptions>): string {
  const folder = join(scratch, name);
  makeTinyModel(folder, { vocabSize: 40, ...options });
  return folder;
}

const policies = ['last-exited', 'propagate', 'complete'] as const satisfies readonly KvPolicy[];

describe('the driver gives what the runtime gives', () => {
  test('on the trained example, with all KV policies, in any company', async (context) => {
    const python = pythonOr(context);
    const folder = await trained();
    const requests = drawRequests(1, 8, { vocabulary: 1024, longest: 40, threshold: 0.35 });
    const served = await runHarness(python, folder, [
      ...policies.map((kv_policy, seed) => scenarioOf(requests, { seed, parameters: { kv_policy } })),
      scenarioOf(requests, { ragged: false, parameters: { steps_per_execute: '4', prefill_chunk: '16' } }),
    ]);
    for (const [i, policy] of [...policies, 'last-exited' as const].entries()) {
      const expected = await generated(folder, requests, policy);
      expectMixed(expected, 3);
      expect(results(served[i]!.clients)).toEqual(expected);
      expect(served[i]!.used_pages).toBe(0);
      // Rows of several requests shared steps.
      expect(served[i]!.rows / served[i]!.steps).toBeGreaterThan(1.5);
    }
  });

  test('in 16 bits', async (context) => {
    const python = pythonOr(context);
    const folder = await repository(join(examples, 'kjv-relaxed'), 'kjv-f16', { precision: 'f16' });
    const requests = drawRequests(2, 8, { vocabulary: 1024, longest: 20, threshold: 0.35 });
    const [served] = await runHarness(python, folder, [scenarioOf(requests)]);
    expect(results(served!.clients)).toEqual(await generated(folder, requests, 'last-exited'));
  });

  test('on a model with a prelude and a coda, without empty lists, too', async (context) => {
    const python = pythonOr(context);
    const folder = await repository(join(models, 'llama-middle-cycle'), 'middle-cycle');
    const requests = drawRequests(3, 10, { vocabulary: 256, longest: 30, threshold: 1 });
    const scenarios = ([0, 1] as const).map((least) => scenarioOf(requests, { least }));
    for (const { clients } of await runHarness(python, folder, scenarios)) {
      expect(results(clients)).toEqual(await generated(folder, requests, 'last-exited'));
    }
  });

  test.for([1, 2])('on a model with everything, in %i attention groups', async (attentionGroups, context) => {
    const python = pythonOr(context);
    const exits = { after: [1, 2], confidence: 'margin' } as const;
    const model = tinyModel(`all-${attentionGroups}`, { prelude: 1, coda: 1, loops: 3, exits, ranks: [1, 2, 0] });
    const folder = await repository(model, `all-${attentionGroups}-repository`, { attentionGroups });
    const requests = drawRequests(4, 8, { vocabulary: 40, longest: 40, threshold: 0.02 });
    const cases = policies.map(
      (kv_policy, i) => ({ kv_policy, least: (i + attentionGroups) % 2 === 0 ? 0 : 1 }) as const,
    );
    const served = await runHarness(
      python,
      folder,
      cases.map(({ kv_policy, least }, seed) => scenarioOf(requests, { seed, least, parameters: { kv_policy } })),
    );
    for (const [i, { kv_policy }] of cases.entries()) {
      const expected = await generated(folder, requests, kv_policy);
      expectMixed(expected, 3);
      expect(results(served[i]!.clients)).toEqual(expected);
    }
  });
});

describe('the driver as a server', () => {
  test('requests that are cancelled give their pages back; requests without room wait', async (context) => {
    const python = pythonOr(context);
    const folder = await trained();
    const requests = drawRequests(5, 16, { vocabulary: 1024, longest: 60, threshold: 0.35 });
    const scenario = scenarioOf(requests, { parameters: { spans: '7' } });
    const [served] = await runHarness(python, folder, [
      { ...scenario, requests: scenario.requests.map((r, i) => (i % 3 === 1 ? { ...r, cancel_after: i % 5 } : r)) },
    ]);
    const expected = await generated(folder, requests, 'last-exited');
    let cancelled = 0;
    for (const [i, client] of served!.clients.entries()) {
      const whole = expected[i]!;
      if (client.cancelled) cancelled++;
      const length = client.cancelled ? client.tokens.length : whole.tokens.length;
      expect(client.tokens).toEqual(whole.tokens.slice(0, length));
      expect(client.exits).toEqual(whole.exits.slice(0, length));
    }
    expect(cancelled).toBeGreaterThan(2);
    // More requests than pages: 7 spans of 16 positions are less than two of the longest.
    expect(served!.batches.length).toBeGreaterThan(100);
    expect(served!.used_pages).toBe(0);
  });

  test('what cannot be served is refused, and harms nobody', async (context) => {
    const python = pythonOr(context);
    const folder = await trained();
    const good: ClientRequest = { input_ids: [5, 6], parameters: { max_new_tokens: 3, exit_threshold: 1 } };
    const bad: readonly (readonly [ClientRequest, string])[] = [
      [{ input_ids: [] }, 'input_ids has no tokens'],
      [{ input_ids: [1024] }, 'the token 1024'],
      [{ input_ids: [-1] }, 'the token -1'],
      [{ input_ids: [1], parameters: { max_new_tokens: 0 } }, 'max_new_tokens is 0'],
      [{ input_ids: [1], parameters: { max_new_tokens: 513 } }, 'more than 512 positions'],
      [{ input_ids: [1], parameters: { temperature: -1 } }, 'temperature is -1'],
      [{ input_ids: [1], parameters: { exit_threshold: 'nan' } }, 'exit_threshold is not a number'],
      [{ input_ids: [1], parameters: { temperature: 'hot' } }, "temperature is 'hot'; a number was expected"],
      [{ input_ids: [1], parameters: { seed: 1.5 } }, 'seed is 1.5; a whole number was expected'],
    ];
    const [served] = await runHarness(python, folder, [
      {
        ...scenarioOf([]),
        requests: [good, ...bad.map(([request]) => request), good],
      },
    ]);
    const { clients } = served!;
    for (const [i, [, problem]] of bad.entries()) expect(clients[i + 1]!.error).toContain(problem);
    expect(clients[0]!.tokens).toHaveLength(3);
    expect(clients.at(-1)!.tokens).toEqual(clients[0]!.tokens);
    expect(served!.used_pages).toBe(0);
  });

  test('an engine that fails takes those along who were there, and nobody else', async (context) => {
    const python = pythonOr(context);
    const folder = await trained();
    const requests = drawRequests(8, 12, { vocabulary: 1024, longest: 20, threshold: 0.35 });
    const [served] = await runHarness(python, folder, [scenarioOf(requests, { break_at: 40 })]);
    const expected = await generated(folder, requests, 'last-exited');
    const broken = served!.clients.filter(({ error }) => error !== null);
    for (const { error } of broken) expect(error).toBe('the engine broke');
    expect(broken.length).toBeGreaterThan(0);
    expect(broken.length).toBeLessThan(8);
    for (const [i, { tokens, error }] of served!.clients.entries()) {
      const { tokens: whole } = expected[i]!;
      expect(tokens).toEqual(error === null ? whole : whole.slice(0, tokens.length));
    }
    expect(served!.used_pages).toBe(0);
  });

  test('a prompt of the greatest length; one that just does not fit into the pages', async (context) => {
    const python = pythonOr(context);
    const folder = await trained();
    const prompt = Array.from({ length: 64 }, (_, i) => i + 1);
    const few = { parameters: { spans: '4', threads: '1' } };
    const ask = (max_new_tokens: number): ClientRequest => ({ input_ids: prompt, parameters: { max_new_tokens } });
    const [served] = await runHarness(python, folder, [{ ...scenarioOf([], few), ...{ requests: [ask(1), ask(2)] } }]);
    expect(served!.clients[0]!.tokens).toHaveLength(1);
    expect(served!.clients[1]!.error).toContain('more than 64 positions');
  });
});

test('draws are those of the runtime, to the last bit', async (context) => {
  const python = pythonOr(context);
  const random = randomStream('draws');
  const cases = Array.from({ length: 300 }, (_, i) => ({
    logits: Array.from({ length: [1, 7, 256, 257, 1024][i % 5]! }, () => Math.fround(random() * 20 - 10)),
    temperature: [0.1, 0.7, 1, 3][i % 4]!,
    seed: i % 3 === 0 ? -i : i * 1_000_003,
    step: i % 17,
  }));
  const { stdout } = await execa(python, [join(import.meta.dirname, 'draws.py')], { input: JSON.stringify(cases) });
  const expected = cases.map(({ logits, temperature, seed, step }) =>
    chooseToken(Float32Array.from(logits), { kind: 'sample', temperature, seed }, 0, step),
  );
  expect(new Set(expected).size).toBeGreaterThan(50);
  expect(JSON.parse(stdout)).toEqual(expected);
});
