import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { meanExit } from '../../simulate/exit-shares.ts';
import { readSimulation } from '../../simulate/read/read-simulation.ts';
import { simulationSchemaText } from '../../simulate/simulation-file.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-simulation-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const passes = [
  { rows: 1, milliseconds: 2 },
  { rows: 8, milliseconds: 5 },
];
const good = {
  format: 'rtc-simulation',
  version: 1,
  loops: 3,
  times: { passes },
  exits: { mean: 1.76 },
  workload: { sequences: 4, newTokens: 5 },
  limits: { maxRows: 2 },
};

async function write(name: string, value: unknown): Promise<string> {
  const path = join(scratch, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value));
  return path;
}

/** Reads a simulation that is good but for what is changed; `code path` of each problem. */
async function problems(changes: object, files: Readonly<Record<string, unknown>> = {}): Promise<readonly string[]> {
  for (const [name, value] of Object.entries(files)) await write(name, value);
  const read = await readSimulation(await write('simulation.json', { ...good, ...changes }));
  for (const { message } of read.diagnostics) expect(message).toMatch(/\.$|\?$/);
  return read.diagnostics.map(
    ({ code, location }) => `${code} ${location?.file.slice(scratch.length + 1)} ${location?.path ?? ''}`,
  );
}

/** Reads a simulation that must be good. */
async function scenarios(changes: object, files: Readonly<Record<string, unknown>> = {}) {
  for (const [name, value] of Object.entries(files)) await write(name, value);
  const read = await readSimulation(await write('simulation.json', { ...good, ...changes }));
  if (!read.ok) throw new Error(JSON.stringify(read.diagnostics));
  return read.value;
}

test('schema/rtc-simulation.schema.json is what the validator says; `npx vitest run -u` writes it anew', async () => {
  const path = join(import.meta.dirname, '../../schema/rtc-simulation.schema.json');
  await expect(simulationSchemaText()).toMatchFileSnapshot(path);
});

test('the file in docs/simulate.md is one that could be run', async () => {
  const text = await readFile(join(import.meta.dirname, '../../docs/simulate.md'), 'utf8');
  const [, example] = text.match(/```json\n(.*?)```/s)!;
  const { exits, times, ...rest } = JSON.parse(example!);
  expect([exits, times]).toEqual([{ trace: 'run.json' }, { file: 'profile.json' }]);
  const prompt = [9, 8, 7];
  const run = { sequences: [{ prompt, exits: [3, 1, 2] }] };
  const { scenarios: all } = await scenarios(
    { ...rest, exits, times },
    { 'run.json': run, 'profile.json': { passes } },
  );
  expect(all.map(({ maxRows }) => maxRows)).toEqual(rest.limits.maxRows);
});

test('a small simulation, with what it does not say filled in', async () => {
  const { exits, fitting, scenarios: all } = await scenarios({});
  expect(meanExit(exits)).toBeCloseTo(1.76, 9);
  expect(fitting).toBeUndefined();
  expect(all).toHaveLength(1);
  expect(all[0]).toMatchObject({
    loops: 3,
    exitsAfter: [1, 2],
    maxRows: 2,
    maxSequences: 2,
    kvPolicy: 'last-exited',
    decision: 'known',
    rowOrder: 'oldest',
  });
  expect(all[0]!.requests.map(({ arrival, exits: { length } }) => [arrival, length])).toEqual(Array(4).fill([0, 5]));
});

test('the same seed draws the same workload, another seed another one', async () => {
  const drawn = async (seed: number) => {
    const workload = {
      sequences: 50,
      newTokens: { least: 3, most: 9 },
      arrivals: { kind: 'poisson', perSecond: 10 },
      seed,
    };
    const { scenarios: all } = await scenarios({ workload });
    return all[0]!.requests.map(({ arrival, exits }) => [arrival, ...Array.from(exits)]);
  };
  const once = await drawn(1);
  expect(await drawn(1)).toEqual(once);
  expect(await drawn(2)).not.toEqual(once);
  const arrivals = once.map(([arrival]) => arrival!);
  expect(arrivals).toEqual(arrivals.toSorted((a, b) => a - b));
  // 50 sequences at 10 a second: about 5 s.
  expect(arrivals.at(-1)).toBeGreaterThan(2500);
  expect(arrivals.at(-1)).toBeLessThan(10_000);
  expect(new Set(once.map(({ length }) => length - 1))).toEqual(new Set([3, 4, 5, 6, 7, 8, 9]));
});

describe('a trace', () => {
  const run = {
    version: 1,
    sequences: [
      { prompt: [7, 8], tokens: [1, 2, 3], exits: [3, 1, 2] },
      { prompt: [9], tokens: [1], exits: [3] },
    ],
    steps: 9,
    rows: 9,
    seconds: 1,
  };

  test('gives sequences, lengths and exits; the token of a prompt that is left out is left out with it', async () => {
    const { exits, scenarios: all } = await scenarios(
      { exits: { trace: 'run.json' }, workload: {} },
      { 'run.json': run },
    );
    expect(all[0]!.requests.map((request) => Array.from(request.exits))).toEqual([[1, 2]]);
    expect(exits).toEqual([0.5, 0.5, 0]);
  });

  test('with times of prompts they are simulated, and give the first token', async () => {
    const times = { passes, prompt: [{ tokens: 1, milliseconds: 3 }] };
    const { scenarios: all } = await scenarios(
      { times, exits: { trace: 'run.json' }, workload: {} },
      { 'run.json': run },
    );
    expect(all[0]!.requests).toEqual([
      { arrival: 0, promptTokens: 2, exits: Uint16Array.from([1, 2]) },
      { arrival: 0, promptTokens: 1, exits: new Uint16Array(0) },
    ]);
  });

  test('starts again behind the token of the prompt when more tokens are asked for', async () => {
    const workload = { sequences: 3, newTokens: 6 };
    const { scenarios: all } = await scenarios({ exits: { trace: 'run.json' }, workload }, { 'run.json': run });
    expect(all[0]!.requests.map((request) => Array.from(request.exits).join(''))).toEqual(['12121', '33333', '12121']);
  });

  test('that fits another model is refused, all places at once', async () => {
    const other = { sequences: [{ exits: [4, 2] }, { exits: [3, 1] }, { exits: [3, 9] }] };
    expect(await problems({ exits: { trace: 'run.json' } }, { 'run.json': other })).toEqual([
      'impossible-exit run.json sequences[0].exits[0]',
      'impossible-exit run.json sequences[2].exits[1]',
    ]);
    expect(await problems({ exits: { trace: 'run.json' } }, { 'run.json': { sequences: [{ tokens: [1] }] } })).toEqual([
      'missing-key run.json sequences[0].exits',
    ]);
    expect(await problems({ exits: { trace: 'none.json' } })).toEqual(['missing-file none.json ']);
    const short = { sequences: [{ exits: [3] }] };
    expect(await problems({ exits: { trace: 'run.json' }, workload: {} }, { 'run.json': short })).toEqual([
      'nothing-to-do simulation.json exits.trace',
    ]);
  });
});

describe('times in a file', () => {
  test('alone, or inside a document of rtc bench', async () => {
    const profile = { source: 'a machine', passes, host: 0.25 };
    const times = { file: 'more/profile.json' };
    expect((await scenarios({ times }, { 'more/profile.json': profile })).profile).toEqual(profile);
    const bench = { version: 1, runs: [], profile };
    expect((await scenarios({ times }, { 'more/profile.json': bench })).profile).toEqual(profile);
  });

  test('problems are told with their place in that file', async () => {
    const times = { file: 'profile.json' };
    const bad = { version: 1, profile: { passes: [...passes].reverse(), host: -1, pases: 1 } };
    expect(await problems({ times }, { 'profile.json': bad })).toEqual([
      'wrong-value profile.json profile.host',
      'unknown-key profile.json profile.pases',
    ]);
    const reversed = { passes: [...passes].reverse() };
    expect(await problems({ times }, { 'profile.json': reversed })).toEqual([
      'wrong-order profile.json passes[1].rows',
    ]);
    expect(await problems({ times }, { 'profile.json': { version: 1, runs: [] } })).toEqual([
      'wrong-format profile.json ',
    ]);
    expect(await problems({ times: { ...times, host: 1 } }, { 'profile.json': { passes } })).toEqual([
      'two-sources simulation.json times.host',
    ]);
  });
});

describe('memory', () => {
  const memory = { bytes: 1000, weights: 300, workspace: 100, cacheBytesPerPosition: 1, pageSize: 8 };
  const workload = { sequences: 100, promptTokens: 3, newTokens: 10 };

  test('holds sequences of whole pages at every depth, beside weights and workspace', async () => {
    // 13 positions are two pages: 16 positions at 3 depths.
    const { fitting, scenarios: all } = await scenarios({ limits: { memory }, workload });
    expect(fitting).toBe(Math.floor(600 / (16 * 3)));
    expect(all.map(({ maxRows, maxSequences }) => [maxRows, maxSequences])).toEqual([[12, 12]]);
    const shared = await scenarios({ limits: { memory }, workload, kvPolicy: 'shared' });
    expect(shared.fitting).toBe(Math.floor(600 / 16));
    const boundary = { ...memory, boundaryCacheBytesPerPosition: 2 };
    expect((await scenarios({ limits: { memory: boundary }, workload })).fitting).toBe(Math.floor(600 / (16 * 5)));
  });

  test('bounds what maxRows asks for', async () => {
    const { scenarios: all } = await scenarios({ limits: { memory, maxRows: [4, 64] }, workload });
    expect(all.map(({ maxRows, maxSequences }) => [maxRows, maxSequences])).toEqual([
      [4, 4],
      [64, 12],
    ]);
  });

  test('that not even one sequence fits into', async () => {
    expect(await problems({ limits: { memory: { ...memory, bytes: 410 } }, workload })).toEqual([
      'out-of-memory simulation.json limits.memory.bytes',
    ]);
  });
});

test('all problems of a file at once, each with its place', async () => {
  expect(
    await problems({
      loops: 0,
      exitz: {},
      times: { passes: [{ rows: 1.5, milliseconds: -1 }] },
      limits: { maxRows: [8, 'x'] },
      workload: { newTokens: { least: 'a' } },
    }),
  ).toEqual(
    expect.arrayContaining([
      'wrong-value simulation.json loops',
      'unknown-key simulation.json exitz',
      expect.stringContaining('simulation.json times.passes[0].rows'),
      'wrong-value simulation.json times.passes[0].milliseconds',
      expect.stringContaining('simulation.json limits.maxRows'),
      expect.stringContaining('simulation.json workload.newTokens'),
    ]),
  );
  expect(
    await problems({
      exits: { mean: 4, shares: [0.5, 0.6, 0] },
      exitsAfter: [2, 1, 3],
      times: {},
      limits: {},
      workload: { newTokens: { least: 5, most: 4 }, arrivals: { kind: 'poisson' } },
    }),
  ).toEqual([
    'wrong-order simulation.json exitsAfter[1]',
    'impossible-exit simulation.json exitsAfter[2]',
    'wrong-value simulation.json exits.mean',
    'impossible-exit simulation.json exits.mean',
    'wrong-value simulation.json exits.shares',
    'wrong-value simulation.json workload.newTokens',
    'missing-key simulation.json workload.arrivals.perSecond',
    'missing-key simulation.json limits.maxRows',
    'missing-key simulation.json times.passes',
  ]);
});

test.each([
  [{ exits: {} }, ['wrong-value simulation.json exits']],
  [{ exits: { shares: [1, 0] } }, ['wrong-value simulation.json exits.shares']],
  [{ exits: { shares: [0.5, 0.5, 0] }, exitsAfter: [2] }, ['impossible-exit simulation.json exits.shares[0]']],
  [{ exits: { mean: 1.5 }, exitsAfter: [2] }, ['impossible-exit simulation.json exits.mean']],
  [{ decision: 'confidence' }, ['missing-times simulation.json times.heads']],
  [{ kvPolicy: 'propagate' }, ['missing-times simulation.json times.propagate']],
  [
    { workload: { arrivals: { kind: 'at-once', perSecond: 3 } } },
    ['wrong-value simulation.json workload.arrivals.perSecond'],
  ],
  [{ workload: { sequences: 10_000, newTokens: 10_000_000 } }, ['too-much-work simulation.json workload.newTokens']],
  [{ format: 'rtc-model' }, ['wrong-format simulation.json format']],
])('%j', async (changes, expected) => {
  expect(await problems(changes)).toEqual(expected);
});

test('times in place of a simulation: how to name them in one', async () => {
  const read = await readSimulation(await write('times.json', { passes: [{ rows: 1, milliseconds: 1 }] }));
  expect(read.diagnostics[0]?.message).toMatch(/has the times of a simulation, and is none itself\.$/);
  expect(read.diagnostics[0]?.hint).toContain('"times": { "file": "times.json" }');
});
