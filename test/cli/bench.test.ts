import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BenchDocument, benchDocumentSchema } from '../../measure/bench-document.ts';
import { models } from './rtc.ts';
import { runHere } from './run-here.ts';

let scratch: string;
let step: string;
let unrolled: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-bench-'));
  step = join(scratch, 'step');
  unrolled = join(scratch, 'unrolled');
  for (const [form, out] of [
    ['depth-batched', step],
    ['unrolled', unrolled],
  ] as const) {
    const { exitCode, stderr } = await runHere([
      'compile',
      join(models, 'llama-recursive'),
      '--form',
      form,
      '--out',
      out,
    ]);
    if (exitCode !== 0) throw new Error(stderr);
  }
});
afterAll(() => rm(scratch, { recursive: true }));

const small = ['--rows', '2', '--sequences', '6', '--prompt-tokens', '4..9', '--new-tokens', '6..9', '--threads', '1'];

/** Sums of what parts say. */
const sum = (numbers: readonly (number | undefined)[]) => numbers.reduce<number>((a, b) => a + (b ?? 0), 0);

describe('bench', () => {
  test('measures every variant on the same workload, as a document that the schema knows', async () => {
    const flags = [
      '--mean-loops',
      '1.5',
      '--exit-threshold',
      '0.02',
      '--rounds',
      '3',
      '--unrolled',
      unrolled,
      '--json',
    ];
    const { exitCode, stdout, stderr } = await runHere(['bench', step, ...small, ...flags]);
    expect(stderr).not.toContain('error');
    expect(exitCode).toBe(0);
    const document: BenchDocument = benchDocumentSchema.parse(JSON.parse(stdout));
    const [run] = document.runs;
    const { loops } = document.package;
    expect(run!.variants.map(({ kind }) => kind)).toEqual([
      'full-depth',
      'sequence-wise',
      'sequence-wise-shrink',
      'depth-wise',
      'depth-wise-threshold',
      'unrolled',
    ]);
    // The same tokens, whoever shared a step with whom: this is what makes the rates comparable.
    expect(run!.sameTokens).toBe(true);
    const [full, waits, shrinks, depthWise] = run!.variants;
    expect(new Set([full, waits, shrinks, depthWise].map((variant) => variant!.tokens)).size).toBe(1);
    expect(full!.meanExit).toBe(loops);
    expect(depthWise!.meanExit).toBeCloseTo(1.5, 1);
    expect(shrinks!.exits).toEqual(depthWise!.exits);
    expect(waits!.exits).toEqual(depthWise!.exits);
    const idle = [full, waits, shrinks, depthWise].map(
      (variant) => variant!.timeline!.steps.flatMap(({ rows }) => rows).filter(([, , role]) => role === 'idle').length,
    );
    expect([idle[0], idle[2], idle[3]], 'only who waits for the deepest row has rows that do nothing').toEqual([
      0, 0, 0,
    ]);
    expect(idle[1]).toBeGreaterThan(0);
    expect(sum(depthWise!.exits.map(({ tokens }) => tokens))).toBe(depthWise!.tokens - 6);
    for (const { whole, breakdown, milliseconds, kind, timeline, steps } of run!.variants) {
      expect(whole).toBe(true);
      expect(sum(Object.values(breakdown!)) / milliseconds, kind).toBeCloseTo(1, 6);
      expect(timeline!.steps).toHaveLength(steps);
    }
    expect(run!.bounds!.gain).toBeCloseTo(loops / run!.bounds!.meanExit);
    expect(sum(run!.bounds!.losses.map(({ gain }) => gain)) + run!.bounds!.reached).toBeCloseTo(run!.bounds!.gain);
    expect(run!.unrolled!.slower.median).toBeGreaterThan(0);
    expect(run!.engine!.hostShare).toBeLessThanOrEqual(1);
  });

  test('for people: rates, bounds and where time went; and a page', async () => {
    const html = join(scratch, 'bench.html');
    const { exitCode, stdout } = await runHere([
      'bench',
      step,
      ...small,
      '--rounds',
      '2',
      '--no-engine',
      '--html',
      html,
    ]);
    expect(exitCode).toBe(0);
    for (const words of [
      '2 rows, 3 sequences at once',
      'steady state',
      'whole workload',
      'where time went',
      'the same tokens',
    ]) {
      expect(stdout).toContain(words);
    }
    expect(await readFile(html, 'utf8')).toContain('<!doctype html>');
  });

  test('only a profile, which rtc simulate takes', async () => {
    const profile = ['--no-runs', '--profile', '--rounds', '1', '--threads', '1', '--json'];
    const { exitCode, stdout } = await runHere(['bench', step, ...profile]);
    expect(exitCode).toBe(0);
    const document = benchDocumentSchema.parse(JSON.parse(stdout));
    expect(document.runs).toEqual([]);
    expect(document.profile!.passes.map(({ rows }) => rows)).toEqual([1, 2, 4, 8, 16, 32, 64]);
    const file = join(scratch, 'simulation.json');
    const simulation = {
      format: 'rtc-simulation',
      version: 1,
      loops: document.package.loops,
      times: document.profile,
      exits: { mean: 1.5 },
      workload: { sequences: 20, newTokens: 10 },
      limits: { maxRows: 8 },
    };
    await writeFile(file, JSON.stringify(simulation));
    expect(await runHere(['simulate', file])).toMatchObject({ exitCode: 0 });
  });

  test('recorded exits, Poisson arrivals and prompts from files', async () => {
    const trace = join(scratch, 'trace.json');
    const prompts = join(scratch, 'prompts.json');
    await writeFile(
      trace,
      JSON.stringify([
        [2, 1, 2, 1],
        [2, 1, 1, 1],
      ]),
    );
    await writeFile(prompts, JSON.stringify([[1, 2, 3], [4, 5], [6]]));
    const flags = [
      '--prompts',
      prompts,
      '--sequences',
      '5',
      '--exit-trace',
      trace,
      '--new-tokens',
      '4',
      '--arrivals',
      '200',
      '--json',
    ];
    const { exitCode, stdout } = await runHere([
      'bench',
      step,
      '--rows',
      '2',
      '--rounds',
      '1',
      '--no-engine',
      ...flags,
    ]);
    expect(exitCode).toBe(0);
    const [run] = benchDocumentSchema.parse(JSON.parse(stdout)).runs;
    expect(run!.workload).toMatchObject({
      sequences: 5,
      promptTokens: { least: 1, mean: 11 / 5, most: 3 },
      arrivals: { kind: 'poisson', perSecond: 200 },
      exits: 'trace, 1.17 of 3 loops on average',
    });
    const depthWise = run!.variants.find(({ kind }) => kind === 'depth-wise')!;
    expect(depthWise.exits).toEqual([
      { loop: 1, tokens: 12 },
      { loop: 2, tokens: 3 },
      { loop: 3, tokens: 0 },
    ]);
    expect(depthWise.milliseconds).toBeCloseTo(sum(Object.values(depthWise.breakdown!)), 6);
  });

  test('what cannot be measured is said, not tried', async () => {
    const code = async (...flags: readonly string[]) => {
      const { exitCode, stderr } = await runHere(['bench', ...flags]);
      return { exitCode, code: /error ([a-z-]+)/.exec(stderr)?.[1] };
    };
    expect(await code(unrolled)).toEqual({ exitCode: 1, code: 'unsupported-form' });
    expect(await code(step, '--new-tokens', '100000')).toEqual({ exitCode: 1, code: 'too-long' });
    expect(await code(step, '--mean-loops', '7')).toEqual({ exitCode: 1, code: 'too-many-loops' });
    expect(await code(step, '--unrolled', step)).toEqual({ exitCode: 1, code: 'other-model' });
    expect(await code(step, '--quality', join(scratch, 'none.txt'))).toEqual({ exitCode: 1, code: 'no-tokenizer' });
    const html = join(scratch, 'none', 'bench.html');
    expect(await code(step, '--html', html)).toEqual({ exitCode: 1, code: 'bad-path' });
    // By the time of one step, long before pages for 5120 sequences are there.
    const large = ['--rows', '4096', '--rounds', '1', '--max-seconds', '1'];
    expect(await code(step, ...large)).toEqual({ exitCode: 1, code: 'takes-too-long' });
    expect((await code(step, '--no-runs')).exitCode).toBe(2);
    expect((await code(step, '--rows', '0')).exitCode).toBe(2);
    expect((await code(step, '--rows', '4097')).exitCode).toBe(2);
    expect((await code(step, '--new-tokens', '9..4')).exitCode).toBe(2);
    expect((await code(step, '--prompts', 'x', '--prompt-tokens', '3')).exitCode).toBe(2);
  });
});
