import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { StepReport } from '../../../runtime/depth-batched/core.ts';
import { type Engine, type EngineOptions, openEngine } from '../../../runtime/engine.ts';
import { type Generation, generate } from '../../../runtime/generate.ts';
import type { GenerateOptions } from '../../../runtime/generate-options.ts';
import { type LoadedPackage, type LoadOptions, loadPackage } from '../../../runtime/load-package.ts';
import { compiled } from '../../e2e/open-package.ts';
import { makeTinyModel } from '../../support/tiny-model.ts';
import { collect, given } from './fake-engine.ts';

let scratch: string;
let depthBatched: string;
let loop: string;
const open: { close(): Promise<void> }[] = [];
const options = { hiddenSize: 32, loops: 3, maxPositions: 2048, exits: { after: [1, 2], threshold: 0.2 } } as const;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-engine-'));
  const model = join(scratch, 'model');
  makeTinyModel(model, options);
  depthBatched = await compiled({ model, form: 'depth-batched', pageSize: 16, out: join(scratch, 'depth-batched') });
  loop = await compiled({ model, form: 'loop', out: join(scratch, 'loop') });
});
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close();
});
afterAll(() => rm(scratch, { recursive: true }));

async function engineOf(more: EngineOptions = {}): Promise<Engine> {
  const engine = given(await openEngine(depthBatched, { threads: 1, ...more }));
  open.push(engine);
  return engine;
}

const load = async (folder: string, more: LoadOptions = {}) =>
  given(await loadPackage(folder, { threads: 1, ...more }));

const prompts = [[3, 4, 5], [9], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21], [7, 7]];

async function run(loaded: LoadedPackage, more: GenerateOptions = {}): Promise<Generation> {
  const stream = given(generate(loaded, prompts, { maxNewTokens: 12, ignoreEos: true, ...more }));
  while (true) {
    const next = await stream.next();
    if (next.done) return next.value;
  }
}

describe('generate', () => {
  let inBatch: LoadedPackage;
  let withEngine: LoadedPackage;
  beforeAll(async () => {
    [inBatch, withEngine] = [await load(loop), await load(depthBatched)];
  });
  afterAll(async () => {
    await inBatch.close();
    await withEngine.close();
  });

  test.each<[string, GenerateOptions]>([
    ['all loops', { exitThreshold: 1 }],
    ["the model's own threshold", {}],
    ['one loop', { exitAt: 1 }],
  ])('with %s is what the form loop gives', async (_, more) => {
    const [there, here] = [await run(inBatch, more), await run(withEngine, more)];
    expect(here.sequences).toEqual(there.sequences);
    // A threshold that never or always leaves would test nothing.
    const exits = new Set(here.sequences.flatMap((sequence) => sequence.exits.slice(1)));
    expect(exits.size).toBe(more.exitThreshold === undefined && more.exitAt === undefined ? 3 : 1);
  });

  test('counts calls of the graph and their rows', async () => {
    const { steps, rows } = await run(withEngine, { exitAt: 2 });
    // Prompts run 3 loops and give the first token, 11 further ones 2 loops each.
    expect(rows).toBe(prompts.length * (3 + 11 * 2));
    expect(steps).toBeGreaterThanOrEqual(3 + 11 * 2);
    expect(steps).toBeLessThan(rows);
  });

  test('replays the exits of another run', async () => {
    const first = await run(withEngine);
    const exitTraces = first.sequences.map(({ exits }) => exits);
    expect((await run(withEngine, { exitTraces })).sequences).toEqual(first.sequences);
    const other = exitTraces.map((exits) => exits.map((exit) => (exit % 3) + 1));
    expect((await run(withEngine, { exitTraces: other })).sequences.map(({ exits }) => exits.slice(1))).toEqual(
      other.map((exits) => exits.slice(1)),
    );
  });

  test('holds the mean of loops that is asked for', async () => {
    const { sequences } = await run(withEngine, { meanLoops: 2, maxNewTokens: 60 });
    const exits = sequences.flatMap((sequence) => sequence.exits.slice(1));
    const mean = exits.reduce((sum, exit) => sum + exit, 0) / exits.length;
    expect(mean).toBeGreaterThan(1.8);
    expect(mean).toBeLessThan(2.2);
  });

  test('sequence i of seed s draws what the first of seed s + i does', async () => {
    const draw = (seed: number) => ({ sampling: { kind: 'sample', seed } }) as const;
    const [, second] = (await run(withEngine, draw(5))).sequences;
    const alone = given(generate(withEngine, [prompts[1]!], { maxNewTokens: 12, ignoreEos: true, ...draw(6) }));
    let next = await alone.next();
    while (!next.done) next = await alone.next();
    expect(next.value.sequences[0]).toEqual(second);
  });

  test('stops at a signal, and cancels what runs when nobody listens any more', async () => {
    const abort = new AbortController();
    const stream = given(generate(withEngine, prompts, { maxNewTokens: 1000, ignoreEos: true, signal: abort.signal }));
    await stream.next();
    abort.abort(new Error('enough'));
    await expect(stream.next()).rejects.toThrow('enough');
    for await (const _ of given(generate(withEngine, prompts, { maxNewTokens: 1000, ignoreEos: true }))) break;
    const state = await withEngine.engine!.state();
    expect(state).toMatchObject({ waiting: 0, running: 0, pages: { used: 0 } });
  });

  test.each<[string, GenerateOptions, string]>([
    ['traces', { exitTraces: [[1], [1], [1], [1]] }, 'exit-needs-depth-batched'],
    ['mean loops', { meanLoops: 2 }, 'exit-needs-depth-batched'],
  ])('other forms have no %s', async (_, more, code) => {
    expect(generate(inBatch, prompts, more)).toMatchObject({ ok: false, diagnostics: [{ code }] });
  });

  test.each<[GenerateOptions]>([
    [{ exitTraces: [[1]] }],
    [{ exitTraces: [[1, 4], [1], [1], [1]] }],
    [{ exitTraces: [[1], [1], [1], [1]], exitAt: 1 }],
    [{ meanLoops: 0 }],
  ])('%j is refused', async (more) => {
    const refused = generate(withEngine, prompts, more);
    expect(refused).toMatchObject({ ok: false, diagnostics: [{ code: 'bad-option' }] });
  });
});

describe('loadPackage', () => {
  test('refuses what only an engine does for a graph alone', async () => {
    expect(await loadPackage(loop, { kvPolicy: 'propagate', maxRows: 4 })).toMatchObject({
      ok: false,
      diagnostics: [
        {
          code: 'needs-depth-batched',
          message: expect.stringContaining('no maxRows, kvPolicy.'),
          hint: 'Compile the model with --form depth-batched.',
        },
      ],
    });
    await (await load(loop, { kvPolicy: 'last-exited' })).close();
  });
});

describe('an engine', () => {
  test('says what it takes, and takes it', async () => {
    const engine = await engineOf({ maxRows: 4, maxSequences: 2, maxPositions: 40 });
    // 40 positions are 3 pages of 16, of each of 3 depths; keys and values of 2 layers with 2 heads of 8 numbers.
    const page = 2 * 2 * 2 * 16 * 8 * 4;
    expect(engine.limits).toEqual({
      maxRows: 4,
      maxSequences: 2,
      maxPositions: 40,
      pages: 18,
      boundaryPages: 0,
      pageBytes: 19 * page,
    });
    expect(await engine.state()).toEqual({ waiting: 0, running: 0, preemptions: 0, pages: { used: 0, total: 18 } });
    expect(engine.submit({ prompt: new Array(38).fill(1), maxNewTokens: 3 }).ok).toBe(true);
    expect(engine.submit({ prompt: new Array(38).fill(1), maxNewTokens: 4 })).toMatchObject({
      ok: false,
      diagnostics: [
        {
          code: 'too-many-tokens',
          message: expect.stringContaining('the engine has 40 positions'),
          hint: 'Ask for at most 3 new tokens. Give the engine more memory for pages (pageBytes).',
        },
      ],
    });
  });

  test('leaves this thread free while a long step runs', async () => {
    const engine = await engineOf({ prefillChunk: 2048 });
    const reports: StepReport[] = [];
    engine.onStep((report) => reports.push(report));
    const waits: number[] = [];
    let last = performance.now();
    const timer = setInterval(() => {
      waits.push(performance.now() - last);
      last = performance.now();
    }, 2);
    await given(engine.submit({ prompt: new Array(1500).fill(5), maxNewTokens: 1 })).done;
    clearInterval(timer);
    const longest = Math.max(...reports.map(({ milliseconds }) => milliseconds.run));
    expect(longest).toBeGreaterThan(30);
    expect(Math.max(...waits)).toBeLessThan(longest / 2);
  });

  test('serves requests of every kind at once, each as if it were alone', async () => {
    const engine = await engineOf({ maxRows: 3, maxSequences: 4, pageBytes: 16 * 4096, kvPolicy: 'propagate' });
    const requests = prompts.flatMap((prompt, i) => [
      { prompt, maxNewTokens: 40, ignoreEos: true },
      { prompt, maxNewTokens: 45 + i, ignoreEos: true, exit: { kind: 'fixed', loop: 1 + (i % 3) } } as const,
      { prompt, maxNewTokens: 9, ignoreEos: true, sampling: { kind: 'sample', seed: i } } as const,
    ]);
    const alone = [];
    for (const request of requests) alone.push(await given(engine.submit(request)).done);
    const together = await Promise.all(requests.map((request) => given(engine.submit(request)).done));
    expect(together).toEqual(alone);
    expect((await engine.state()).preemptions).toBeGreaterThan(0);
  });

  test('stops behind an end-of-sequence token, unless told otherwise', async () => {
    const engine = await engineOf();
    const long = await given(engine.submit({ prompt: [5], maxNewTokens: 400, ignoreEos: true })).done;
    const end = long.tokens.indexOf(2);
    expect(end).toBeGreaterThanOrEqual(0);
    const request = given(engine.submit({ prompt: [5], maxNewTokens: 400 }));
    expect((await collect(request)).at(-1)).toMatchObject({ token: 2, finished: 'stop' });
    expect(await request.done).toMatchObject({ tokens: long.tokens.slice(0, end + 1), finished: 'stop' });
  });

  test.each<[string, EngineOptions, string]>([
    ['no rows', { maxRows: 0 }, 'bad-option'],
    ['no whole thread', { threads: 0.5 }, 'bad-option'],
    ['no page', { pageBytes: 1000 }, 'too-few-pages'],
    ['more memory than there is', { pageBytes: 2 ** 50, maxSequences: 2 ** 40 }, 'too-much-memory'],
  ])('is refused with %s', async (_, more, code) => {
    expect(await openEngine(depthBatched, more)).toMatchObject({ ok: false, diagnostics: [{ code }] });
  });

  test('is refused for another form, for no package, and for a graph that is none', async () => {
    const refused = async (folder: string) => (await openEngine(folder)).diagnostics[0]?.code;
    expect(await refused(loop)).toBe('unsupported-form');
    expect(await refused(scratch)).toBe('not-a-package');
    const graph = join(depthBatched, 'step.onnx');
    const bytes = await readFile(graph);
    await writeFile(graph, new Uint8Array(bytes.length));
    try {
      expect(await refused(depthBatched)).toBe('onnxruntime-failed');
    } finally {
      await writeFile(graph, bytes);
    }
  });

  test('that propagates is refused at once when propagate.onnx is none; others do without it', async () => {
    const graph = join(depthBatched, 'propagate.onnx');
    const bytes = await readFile(graph);
    await writeFile(graph, new Uint8Array(bytes.length));
    try {
      const opened = await openEngine(depthBatched, { threads: 1, kvPolicy: 'propagate' });
      expect(opened).toMatchObject({ ok: false, diagnostics: [{ code: 'onnxruntime-failed' }] });
      await engineOf();
    } finally {
      await writeFile(graph, bytes);
    }
  });
});
