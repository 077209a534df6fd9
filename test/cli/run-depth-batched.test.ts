import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compiled } from '../e2e/open-package.ts';
import { models, replaceModule, rtc } from './rtc.ts';
import { runHere } from './run-here.ts';

const kjv = join(models, 'kjv-relaxed');
let scratch: string;
let depthBatched: string;
let loop: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-run-'));
  depthBatched = await compiled({ model: kjv, form: 'depth-batched', out: join(scratch, 'depth-batched') });
  loop = await compiled({ model: kjv, form: 'loop', out: join(scratch, 'loop') });
});
afterAll(() => rm(scratch, { recursive: true }));

const line = ['--tokens', '1,42,7', '--tokens', '5,6', '--max-new-tokens', '12', '--ignore-eos', '--json'];
async function generation(folder: string, ...more: readonly string[]) {
  const { exitCode, stdout, stderr } = await runHere(['run', folder, ...line, '--threads', '1', ...more]);
  expect(exitCode, stderr).toBe(0);
  return { ...JSON.parse(stdout), stderr };
}

test('--json is the contract; steps are calls of the graph, rows what they had together', async () => {
  const { stderr, ...document } = await generation(depthBatched, '--exit-at', '2');
  const sequence = (prompt: number[]) => ({
    prompt,
    tokens: new Array(12).fill(expect.any(Number)),
    // The prompt runs all loops.
    exits: [3, ...new Array(11).fill(2)],
  });
  expect(document).toEqual({
    version: 1,
    sequences: [sequence([1, 42, 7]), sequence([5, 6])],
    steps: expect.any(Number),
    rows: 2 * (3 + 11 * 2),
    seconds: expect.any(Number),
  });
  expect(document.steps).toBeGreaterThanOrEqual(3 + 11 * 2);
  expect(document.steps).toBeLessThanOrEqual(document.rows);
  expect(stderr).toMatch(
    /^… loading; at most [\d.]+ [kM]B of keys and values, for 2 sequences of up to 512 positions$/m,
  );
  expect(stderr).toContain('; left: 22 after loop 2, 2 after loop 3');
});

test.each([
  ['all loops', ['--exit-threshold', '1']],
  ['a threshold', ['--exit-threshold', '0.3']],
])('%s give what the form loop gives', async (_, more) => {
  const [{ sequences }, other] = [await generation(depthBatched, ...more), await generation(loop, ...more)];
  expect(sequences).toEqual(other.sequences);
});

test('a trace is replayed under every policy, whatever pages and rows there are', async () => {
  const first = await generation(depthBatched, '--exit-threshold', '0.3');
  expect(new Set(first.sequences.flatMap(({ exits }: { exits: number[] }) => exits)).size).toBeGreaterThan(1);
  const trace = join(scratch, 'trace.json');
  await writeFile(trace, JSON.stringify(first));
  const exits = first.sequences.map((sequence: { exits: number[] }) => sequence.exits);
  const few = ['--max-rows', '1', '--row-order', 'deepest', '--prefill-chunk', '2', '--page-memory', '1M'];
  expect((await generation(depthBatched, '--exit-trace', trace, ...few)).sequences).toEqual(first.sequences);
  const tokens = new Set([JSON.stringify(first.sequences)]);
  for (const policy of ['propagate', 'complete', 'shared']) {
    const { sequences } = await generation(depthBatched, '--exit-trace', trace, '--kv-policy', policy);
    expect(sequences.map((sequence: { exits: number[] }) => sequence.exits)).toEqual(exits);
    tokens.add(JSON.stringify(sequences));
  }
  // The policies are not one and the same.
  expect(tokens.size).toBeGreaterThan(1);
});

test('text comes piece by piece, and Ctrl-C ends it with 130', async () => {
  const process = rtc(['run', depthBatched, '--prompt', 'And', '--max-new-tokens', '500', '--ignore-eos']);
  const started = new Promise<void>((resolve) => process.stdout?.once('data', () => resolve()));
  await Promise.race([started, process]);
  process.kill('SIGINT');
  const interrupted = performance.now();
  const { exitCode, stdout, stderr } = await process;
  expect(exitCode).toBe(130);
  expect(stdout).toMatch(/^And/);
  expect(stderr).not.toMatch(/tokens in|^\s+at /m);
  expect(performance.now() - interrupted).toBeLessThan(10_000);
});

describe('problems', () => {
  const run = async (folder: string, ...more: readonly string[]) => {
    const { exitCode, stderr } = await runHere(['run', folder, '--tokens', '5', ...more]);
    return `${exitCode} ${/error (\S+)/.exec(stderr)?.[1]} ${/depth-batched/.test(stderr.split('\n').at(-2) ?? '')}`;
  };

  test.each<[readonly string[], string]>([
    [['--kv-policy', 'propagate'], 'needs-depth-batched'],
    [['--page-memory', '1G'], 'needs-depth-batched'],
    [['--max-rows', '2'], 'needs-depth-batched'],
    [['--mean-loops', '2'], 'exit-needs-depth-batched'],
  ])('%j with another form is exit code 1, with a hint', async (more, code) => {
    expect(await run(loop, ...more)).toBe(`1 ${code} true`);
  });

  test('what --kv-policy says anyway is no problem there', async () => {
    expect((await runHere(['run', loop, '--tokens', '5', '--kv-policy', 'last-exited'])).exitCode).toBe(0);
  });

  test.each<[readonly string[], string]>([
    [['--page-memory', '1000'], 'too-few-pages'],
    [['--exit-at', '4'], 'bad-option'],
    [['--mean-loops', '3.1'], 'bad-option'],
    [['--max-new-tokens', '513'], 'too-many-tokens'],
    [['--exit-trace', join(models, 'nothing.json')], 'missing-file'],
    [['--exit-trace', join(kjv, 'model.json')], 'invalid-exit-trace'],
  ])('%j is exit code 1', async (more, code) => {
    expect(await run(depthBatched, ...more)).toMatch(`1 ${code}`);
  });

  test('what the library calls by its options is called by its flags', async () => {
    const few = await runHere(['run', depthBatched, '--tokens', '5', '--page-memory', '1000']);
    expect(few.stderr).toMatch(/hint: Give pages at least \d+ bytes \(--page-memory\)\.$/m);
    const other = await runHere(['run', loop, '--tokens', '5', '--max-rows', '2', '--prefill-chunk', '4']);
    expect(other.stderr).toContain('so it has no --max-rows, --prefill-chunk.');
  });

  test('without onnxruntime-node the exit code is 4, from the thread of the engine', async () => {
    const missing = `throw Object.assign(new Error("Cannot find package 'onnxruntime-node'"), { code: 'ERR_MODULE_NOT_FOUND' });`;
    const { exitCode, stderr } = await rtc(['run', depthBatched, '--prompt', 'And'], {
      env: replaceModule('onnxruntime-node', missing),
    });
    expect(exitCode).toBe(4);
    expect(stderr).toContain('npm install onnxruntime-node');
  });

  test('a bug in the thread of the engine is owned up to', async () => {
    const { exitCode, stdout, stderr } = await rtc(['run', depthBatched, '--tokens', '5'], {
      env: replaceModule(
        'create-core.js',
        `export const createCore = () => ({
          submit: () => ({ ok: true, diagnostics: [] }),
          step: async () => { throw new Error('three is not four'); },
        });`,
      ),
    });
    expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 70, stdout: '5 ' });
    expect(stderr).toContain('three is not four');
    expect(stderr).toContain('This is a bug in rtc, not in what you gave it.');
  });
});
