import { describe, expect, test } from 'vitest';
import type { Core, CoreOptions, StepReport } from '../../../runtime/depth-batched/core.ts';
import { createCore } from '../../../runtime/depth-batched/create-core.ts';
import type { GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import type { StepModel, StepShape } from '../../../runtime/depth-batched/step-model.ts';
import { continueAlone } from './continue-alone.ts';
import { fakeModel } from './fake-model.ts';
import { fakeStepModel } from './fake-step-graph.ts';

/** What was asked of the graph: one entry for each call. */
interface Watched {
  readonly core: Core;
  readonly runs: { readonly rows: number; readonly logits: boolean }[];
}

function watched(
  options: Partial<CoreOptions> & { readonly shape?: Partial<StepShape>; readonly spans?: number },
): Watched {
  const { shape, spans = 40, ...rest } = options;
  const fake = fakeModel(shape);
  const model = fakeStepModel(fake, spans * (rest.kvPolicy === 'shared' ? 1 : fake.shape.loops), spans);
  const runs: Watched['runs'] = [];
  const watching: StepModel = {
    ...model,
    run: (rows, wanted) => {
      runs.push({ rows: rows.length, ...wanted });
      return model.run(rows, wanted);
    },
  };
  return { core: createCore(watching, { maxRows: 4, ...rest }), runs };
}

function submit(core: Core, id: number, request: Partial<GenerationRequest> = {}): void {
  const taken = core.submit(id, { prompt: [1, 2, 3], maxNewTokens: 4, ...request });
  if (!taken.ok) throw new Error(taken.diagnostics[0]!.message);
}

async function drain(core: Core): Promise<readonly StepReport[]> {
  const reports: StepReport[] = [];
  for (let report = await core.step(); report; report = await core.step()) reports.push(report);
  expect(core.state()).toMatchObject({ waiting: 0, running: 0, pages: { used: 0 } });
  return reports;
}

/** Steps as text: `p` prompt, `t` token, `b` background, `r` replay, `i` idle; request, then depth. */
function timeline(reports: readonly StepReport[]): readonly string[] {
  return reports.map(({ rows }) => rows.map(({ role, request, depth }) => `${role[0]}${request}.${depth}`).join(' '));
}

const trace = (...exits: readonly number[]) => ({ exit: { kind: 'trace', exits } as const, ignoreEos: true });

describe('rows', () => {
  test('depth-wise: a row that leaves starts its next token at once, beside rows at other depths', async () => {
    const { core } = watched({});
    submit(core, 0, { prompt: [5], maxNewTokens: 4, ...trace(3, 1, 2, 1) });
    submit(core, 1, { prompt: [6], maxNewTokens: 2, ...trace(3, 3) });
    expect(timeline(await drain(core))).toEqual([
      'p0.0 p1.0',
      'p0.1 p1.1',
      'p0.2 p1.2',
      't0.0 t1.0',
      't0.0 t1.1',
      't0.1 t1.2',
      't0.0',
    ]);
  });

  test('sequence-wise: everybody waits for the deepest, rows that left ride along', async () => {
    const { core } = watched({ batching: 'sequence-wise' });
    submit(core, 0, { prompt: [5], maxNewTokens: 3, ...trace(3, 1, 2) });
    submit(core, 1, { prompt: [6], maxNewTokens: 2, ...trace(3, 3) });
    expect(timeline(await drain(core))).toEqual([
      'p0.0 p1.0',
      'p0.1 p1.1',
      'p0.2 p1.2',
      't0.0 t1.0',
      'i0.1 t1.1',
      'i0.2 t1.2',
      't0.0',
      't0.1',
    ]);
  });

  test('sequence-wise-shrink: rows that left make no more work, and nobody takes their places', async () => {
    const { core } = watched({ batching: 'sequence-wise-shrink' });
    submit(core, 0, { prompt: [5], maxNewTokens: 3, ...trace(3, 1, 2) });
    submit(core, 1, { prompt: [6], maxNewTokens: 2, ...trace(3, 3) });
    expect(timeline(await drain(core))).toEqual([
      'p0.0 p1.0',
      'p0.1 p1.1',
      'p0.2 p1.2',
      't0.0 t1.0',
      't1.1',
      't1.2',
      't0.0',
      't0.1',
    ]);
  });

  test('complete: a token runs on in the background, and the next one waits for it at each depth', async () => {
    const { core } = watched({ kvPolicy: 'complete' });
    submit(core, 0, { prompt: [5], maxNewTokens: 4, ...trace(3, 1, 3, 1) });
    expect(timeline(await drain(core))).toEqual([
      'p0.0',
      'p0.1',
      'p0.2',
      't0.0',
      'b0.1 t0.0',
      'b0.2 t0.1',
      't0.2',
      // The last token is chosen behind loop 1; what is left of the one before it is dropped.
      't0.0',
    ]);
  });

  test('shared: prompt tokens one at a time, each through all loops', async () => {
    const { core } = watched({ kvPolicy: 'shared' });
    submit(core, 0, { prompt: [5, 6], maxNewTokens: 2, ...trace(3, 2) });
    expect(timeline(await drain(core))).toEqual(['p0.0', 'p0.1', 'p0.2', 'p0.0', 'p0.1', 'p0.2', 't0.0', 't0.1']);
  });

  test('prompts: chunks follow each other through the loops, several in a step', async () => {
    const { core } = watched({ prefillChunk: 32 });
    const tokens = (length: number) => Array.from({ length }, (_, i) => i % 23);
    for (const [id, length] of [34, 3, 20, 2].entries()) submit(core, id, { prompt: tokens(length), maxNewTokens: 1 });
    const reports = await drain(core);
    // No more tokens in a step than a whole chunk has, and every row counts 16 or 32; a chunk waits for the one before it.
    expect(reports.map(({ rows }) => rows.map((row) => `${row.request}.${row.depth}:${row.tokens}`).join(' '))).toEqual(
      [
        '0.0:32',
        '0.1:32',
        '0.2:32',
        '0.0:2 1.0:3',
        '0.1:2 1.1:3',
        '0.2:2 1.2:3',
        '2.0:20',
        '2.1:20',
        '2.2:20',
        '3.0:2',
        '3.1:2',
        '3.2:2',
      ],
    );
  });

  test('prompts: a chunk that has no room in a step lets shorter ones behind it in', async () => {
    const { core } = watched({ prefillChunk: 32 });
    for (const [id, length] of [2, 20, 3].entries()) {
      submit(core, id, { prompt: new Array<number>(length).fill(1), maxNewTokens: 1 });
    }
    expect(timeline(await drain(core))).toEqual(['p0.0 p2.0', 'p0.1 p2.1', 'p0.2 p2.2', 'p1.0', 'p1.1', 'p1.2']);
  });

  test('prefill and decoding take turns', async () => {
    const { core } = watched({ prefillChunk: 2, maxSequences: 8 });
    submit(core, 0, { prompt: [1], maxNewTokens: 20, ...trace() });
    for (let i = 0; i < 4; i++) await core.step();
    for (let id = 1; id < 4; id++) submit(core, id, { prompt: [1, 2, 3, 4, 5, 6], maxNewTokens: 2, ...trace() });
    const kinds = (await drain(core)).map(({ kind }) => kind[0]).join('');
    expect(kinds).toMatch(/^(pd)+d+$/);
  });

  test('no more sequences than there is room for, the oldest first', async () => {
    const { core } = watched({ maxRows: 8, maxSequences: 2 });
    for (let id = 0; id < 5; id++) submit(core, id, { prompt: [1], maxNewTokens: 2, ...trace(3, 1) });
    const reports = await drain(core);
    expect(Math.max(...reports.map(({ rows }) => rows.length))).toBe(2);
    expect(reports.flatMap(({ tokens }) => tokens.filter((t) => t.finished).map((t) => t.request))).toEqual([
      0, 1, 2, 3, 4,
    ]);
  });
});

describe('heads', () => {
  test.each([
    ['fixed', { kind: 'fixed', loop: 2 }],
    ['trace', { kind: 'trace', exits: [3, 2, 1, 3] }],
    ['a threshold that nobody reaches', { kind: 'threshold', threshold: 1 }],
    ['a threshold that is no number', { kind: 'threshold', threshold: Number.NaN }],
  ] as const)('%s: only where a token is chosen', async (_, exit) => {
    const { core } = watched({});
    submit(core, 0, { exit, ignoreEos: true, maxNewTokens: 6 });
    for (const { heads, tokens } of await drain(core)) expect(heads).toBe(tokens.length);
  });

  test('threshold: behind the loops that a token may leave, and the last', async () => {
    const { core } = watched({ shape: { loops: 4, exits: [2] } });
    submit(core, 0, {
      prompt: [1],
      maxNewTokens: 2,
      exit: { kind: 'threshold', threshold: 0.999999 },
      ignoreEos: true,
    });
    const reports = await drain(core);
    expect(reports.map(({ heads }) => heads)).toEqual([0, 0, 0, 1, 0, 1, 0, 1]);
  });

  test('threshold: who just reaches it leaves, who is a little short of it does not', async () => {
    const second = async (threshold: number) => {
      const { core } = watched({});
      submit(core, 0, { prompt: [1], maxNewTokens: 2, exit: { kind: 'threshold', threshold }, ignoreEos: true });
      return (await drain(core)).flatMap(({ tokens }) => tokens)[1]!;
    };
    const { exit, confidence } = await second(0);
    expect(exit).toBe(1);
    expect((await second(confidence)).exit).toBe(1);
    expect((await second(confidence + 2 ** -20)).exit).toBeGreaterThan(1);
  });

  test('logits are fetched when somebody draws from them, and not else', async () => {
    const { core, runs } = watched({});
    submit(core, 0, { prompt: [1], maxNewTokens: 3 });
    await drain(core);
    expect(runs.some(({ logits }) => logits)).toBe(false);
    submit(core, 1, { prompt: [1], maxNewTokens: 3, sampling: { kind: 'sample' } });
    const reports = await drain(core);
    expect(runs.slice(-reports.length).map(({ logits }) => logits)).toEqual(reports.map(({ heads }) => heads > 0));
  });
});

describe('forced tokens', () => {
  test('the sequence goes on with them, the events say what was chosen and how likely the forced one was', async () => {
    const fake = fakeModel();
    const request = { prompt: [3, 1], maxNewTokens: 4, forced: [7, 8], ignoreEos: true };
    const { core } = watched({});
    submit(core, 0, request);
    const events = (await drain(core)).flatMap(({ tokens }) => tokens);
    expect(events.map(({ token }) => token)).toEqual(continueAlone(fake, 'last-exited', request).tokens);
    // Alone, with the forced tokens as a prompt, the third token is the same.
    const longer = continueAlone(fake, 'last-exited', { prompt: [3, 1, 7, 8], maxNewTokens: 1 });
    expect(events[2]!.token).toBe(longer.tokens[0]);
    const likelihoods = events.map(({ forcedLogProbability }) => forcedLogProbability);
    expect(likelihoods.slice(2)).toEqual([undefined, undefined]);
    for (const likelihood of likelihoods.slice(0, 2)) expect(likelihood).toBeLessThan(0);
    submit(core, 1, { ...request, forced: [events[0]!.token] });
    const [first] = (await drain(core)).flatMap(({ tokens }) => tokens);
    const { shape } = fake;
    // What is likeliest is likelier than the average.
    expect(first!.forcedLogProbability).toBeGreaterThan(-Math.log(shape.vocabulary));
  });
});

describe('refused', () => {
  const cases: readonly (readonly [string, Partial<GenerationRequest>, readonly string[]])[] = [
    ['no prompt', { prompt: [] }, ['empty-prompt']],
    ['unknown tokens, in the prompt and forced', { prompt: [23], forced: [-1] }, ['unknown-token', 'unknown-token']],
    ['no new tokens', { maxNewTokens: 0 }, ['bad-option']],
    ['a loop that there is not', { exit: { kind: 'fixed', loop: 4 } }, ['bad-option']],
    ['a trace of such loops', { exit: { kind: 'trace', exits: [0, 1, 7] } }, ['bad-option']],
    ['a budget of nothing', { exit: { kind: 'budget', meanLoops: 0 } }, ['bad-option']],
    ['a temperature of 0', { sampling: { kind: 'sample', temperature: 0 } }, ['bad-option']],
  ];
  test.each(cases)('%s', (_, request, codes) => {
    const { core } = watched({});
    const taken = core.submit(0, { prompt: [1], maxNewTokens: 1, ...request });
    expect(taken.ok).toBe(false);
    expect(taken.diagnostics.map(({ code }) => code)).toEqual(codes);
    expect(core.state()).toMatchObject({ waiting: 0, running: 0 });
  });

  test('what all pages together do not hold, with the numbers; what they just hold is served', async () => {
    const { core } = watched({ spans: 3, shape: { pageSize: 4 } });
    expect(core.maxPositions).toBe(12);
    const prompt = [1, 2, 3, 4, 5, 6, 7, 8];
    const taken = core.submit(0, { prompt, maxNewTokens: 6 });
    expect(taken.diagnostics[0]).toMatchObject({
      code: 'too-many-tokens',
      hint: expect.stringContaining('at most 5 new'),
    });
    expect(taken.diagnostics[0]!.message).toMatch(/8 tokens.*6 new.*12 positions/);
    expect(core.submit(0, { prompt: [...prompt, ...prompt], maxNewTokens: 1 }).diagnostics[0]!.code).toBe(
      'prompt-too-long',
    );
    submit(core, 1, { prompt, maxNewTokens: 5, ignoreEos: true });
    expect((await drain(core)).flatMap(({ tokens }) => tokens)).toHaveLength(5);
  });

  test('what the model has no positions for', () => {
    const { core } = watched({ maxPositions: 10 });
    expect(core.maxPositions).toBe(10);
    const taken = core.submit(0, { prompt: [1, 2, 3], maxNewTokens: 9 });
    expect(taken.diagnostics[0]!.message).toContain('the model has 10 positions');
  });

  test('a number that is taken', () => {
    const { core } = watched({});
    submit(core, 0);
    expect(() => core.submit(0, { prompt: [1], maxNewTokens: 1 })).toThrow('request 0');
  });
});

describe('too few pages', () => {
  test('the youngest gives its pages back and runs again later, as it ran before', async () => {
    // Four tokens a page and five pages a depth: both prompts fit, both sequences whole do not.
    const { core } = watched({ spans: 5, shape: { pageSize: 4 }, prefillChunk: 2 });
    const request = { prompt: [1, 2, 3], maxNewTokens: 14, ...trace(3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1) };
    submit(core, 0, request);
    submit(core, 1, { ...request, prompt: [4, 5, 6] });
    const reports: StepReport[] = [];
    while (core.state().preemptions === 0) reports.push((await core.step())!);
    const before = reports.flatMap(({ tokens }) => tokens.filter((t) => t.request === 1));
    expect(before.length).toBeGreaterThan(3);
    expect(core.state()).toMatchObject({ waiting: 1, running: 1 });
    const after = await drain(core);
    const own = after.map(({ rows }) => rows.filter(({ request: id }) => id === 1));
    const first = own.findIndex((rows) => rows.length > 0);
    expect(after[first - 1]!.tokens, 'what makes room again').toMatchObject([{ request: 0, finished: 'length' }]);
    const text = own.slice(first).map((rows) => rows.map(({ role, depth, tokens }) => `${role[0]}${depth}:${tokens}`));
    const again = text.flat().filter((row) => row.startsWith('r'));
    // The prompt in its two chunks, then the tokens that it had, each as deep as it was; tokens follow each other closely.
    expect(again.filter((row) => row.endsWith(':2'))).toEqual(['r0:2', 'r1:2', 'r2:2']);
    const depths = [3, 1, 2, 3, 1, 2, 3, 1, 2, 3].slice(0, before.length);
    const ones = again.filter((row) => row.endsWith(':1'));
    for (const depth of [0, 1, 2]) {
      const rows = ones.filter((row) => row === `r${depth}:1`).length;
      expect(rows, `depth ${depth}`).toBe(depths.filter((exit) => exit > depth).length);
    }
    expect(again.length).toBeGreaterThan(text.filter((rows) => rows.some((row) => row.startsWith('r'))).length);
    for (const { heads, tokens } of after) expect(heads).toBe(tokens.length);
    const events = [...reports, ...after].flatMap(({ tokens }) => tokens);
    for (const [id, prompt] of [
      [1, 2, 3],
      [4, 5, 6],
    ].entries()) {
      const alone = continueAlone(fakeModel({ pageSize: 4 }), 'last-exited', { ...request, prompt });
      const own = events.filter((event) => event.request === id);
      expect(own.map(({ token }) => token)).toEqual(alone.tokens);
      expect(own.map(({ exit }) => exit)).toEqual(alone.exits);
    }
  });
});

describe('cancelled', () => {
  test('waiting or running, it ends with the next step, and its pages are free', async () => {
    const { core } = watched({ maxSequences: 1 });
    submit(core, 0);
    submit(core, 1);
    await core.step();
    core.cancel(0);
    core.cancel(1);
    core.cancel(7);
    const report = await core.step();
    expect(report).toMatchObject({ rows: [], heads: 0, tokens: [], milliseconds: { run: 0 } });
    expect(report!.ended).toEqual([
      { request: 0, reason: 'cancelled' },
      { request: 1, reason: 'cancelled' },
    ]);
    expect(await drain(core)).toEqual([]);
    // The number may be used again.
    submit(core, 0);
    expect((await drain(core)).flatMap(({ tokens }) => tokens)).toHaveLength(4);
  });

  test.each(['sequence-wise', 'sequence-wise-shrink'] as const)('%s: in the middle of a batch', async (batching) => {
    const { core } = watched({ batching });
    for (let id = 0; id < 3; id++) submit(core, id, { prompt: [id], maxNewTokens: 3, ...trace(3, 3, 3) });
    for (let i = 0; i < 4; i++) await core.step();
    core.cancel(1);
    const reports = await drain(core);
    expect(timeline(reports).slice(0, 3)).toEqual(['t0.1 t2.1', 't0.2 t2.2', 't0.0 t2.0']);
    expect(reports.flatMap(({ tokens }) => tokens).every(({ request }) => request !== 1)).toBe(true);
  });
});

test('a budget holds over everybody who has it, whoever runs beside whom', async () => {
  const { core } = watched({ maxRows: 8, spans: 400 });
  for (let id = 0; id < 40; id++) {
    const meanLoops = id % 2 === 0 ? 1.5 : 2.4;
    submit(core, id, { prompt: [id % 23, 3], maxNewTokens: 60, ignoreEos: true, exit: { kind: 'budget', meanLoops } });
  }
  const events = (await drain(core)).flatMap(({ tokens }) => tokens);
  for (const [rest, target] of [1.5, 2.4].entries()) {
    const firsts = new Set<number>();
    const exits = events.filter(({ request }) => {
      const first = !firsts.has(request);
      firsts.add(request);
      return !first && request % 2 === rest;
    });
    const mean = exits.reduce((sum, { exit }) => sum + exit, 0) / exits.length;
    expect(Math.abs(mean - target)).toBeLessThan(0.05);
  }
});

test('a step that fails leaves everything as it was', async () => {
  const fake = fakeStepModel(fakeModel(), 30);
  let fails = false;
  const core = createCore(
    { ...fake, run: (rows, wanted) => (fails ? Promise.reject(new Error('no')) : fake.run(rows, wanted)) },
    { maxRows: 2 },
  );
  const request = { prompt: [1, 2, 3], maxNewTokens: 5 };
  submit(core, 0, request);
  const events = [];
  for (let i = 0; ; i++) {
    fails = i % 2 === 0;
    if (fails) {
      await expect(core.step()).rejects.toThrow('no');
      continue;
    }
    const report = await core.step();
    events.push(...report!.tokens);
    if (events.at(-1)?.finished) break;
  }
  expect(events.map(({ token }) => token)).toEqual(continueAlone(fakeModel(), 'last-exited', request).tokens);
});

test('one step at a time', async () => {
  const { core } = watched({});
  submit(core, 0);
  const first = core.step();
  await expect(core.step()).rejects.toThrow('another one');
  await first;
  await drain(core);
});
