import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runHere } from '../cli/run-here.ts';

let scratch: string;
let file: string;
const simulation = {
  format: 'rtc-simulation',
  version: 1,
  name: 'two loops',
  loops: 2,
  times: {
    source: 'nobody measured this',
    passes: [
      { rows: 1, milliseconds: 2 },
      { rows: 16, milliseconds: 4 },
    ],
  },
  exits: { shares: [0.75, 0.25] },
  workload: { sequences: 64, newTokens: 50 },
  limits: { maxRows: [4, 16] },
};

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-simulate-'));
  file = join(scratch, 'simulation.json');
  await writeFile(file, JSON.stringify(simulation));
});
afterAll(() => rm(scratch, { recursive: true }));

const names = ['vanilla', 'full-depth', 'sequence-wise', 'sequence-wise-shrink', 'depth-wise'];

test('a table for each number of rows', async () => {
  const { exitCode, stdout, stderr } = await runHere(['simulate', file]);
  expect(exitCode).toBe(0);
  expect(stdout.split('\n')[0]).toBe('two loops');
  expect(stdout).toContain('  exits known: 75 % after loop 1, 25 % after loop 2; 1.25 loops on average\n');
  expect(stdout).toContain('  times: nobody measured this\n');
  expect(stdout).toMatch(/^4 rows, 4 sequences at once$/m);
  expect(stdout).toMatch(/^16 rows, 16 sequences at once$/m);
  // A line in each table, and what it means below them.
  for (const name of names) expect(stdout.match(new RegExp(`^  ${name} `, 'gm'))).toHaveLength(3);
  expect(stdout).toMatch(/^ {2}vanilla +a batch starts together, runs every loop, /m);
  expect(stdout).toContain('These exits allow a gain of 1.60; with heads, host and caches 1.60.');
  expect(stderr).toContain('note not-counted');
  expect(stderr).toContain('heads and prompts and host');
  expect(stdout).not.toContain('\u001b');
});

test('one document with --json, the same every time', async () => {
  const { exitCode, stdout } = await runHere(['simulate', file, '--json']);
  expect(exitCode).toBe(0);
  const document = JSON.parse(stdout);
  expect(document).toMatchObject({ version: 1, ok: true, loops: 2, meanExit: 1.25, sequences: 64 });
  expect(document.runs.map((run: { maxRows: number }) => run.maxRows)).toEqual([4, 16]);
  for (const run of document.runs) {
    expect(run.batchings.map(({ batching }: { batching: string }) => batching)).toEqual(names);
    for (const each of run.batchings) {
      expect(each.tokens).toBe(64 * 50);
      const spent = Object.values<number>(each.breakdown).reduce((a, b) => a + b, 0);
      expect(spent).toBeCloseTo(each.milliseconds, 6);
      const steps = each.rowsOfSteps.reduce((sum: number, { steps }: { steps: number }) => sum + steps, 0);
      expect(steps).toBe(each.steps);
    }
    const [vanilla, full, wait, shrink, depthWise] = run.batchings.map((each: { gain: number }) => each.gain);
    expect([vanilla, full]).toEqual([1, 1]);
    expect(depthWise).toBeGreaterThan(shrink);
    expect(shrink).toBeGreaterThan(wait);
    expect(depthWise).toBeLessThan(1.6);
  }
  expect((await runHere(['simulate', file, '--json'])).stdout).toBe(stdout);
});

test('the paper: both tables, what is left out, and what remains', async () => {
  const { exitCode, stdout, stderr } = await runHere(['simulate', '--paper']);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(stdout).toMatch(/^ {2}Gemma +43 +1623\.4 +1622 +\+0\.085 %$/m);
  expect(stdout).toMatch(/^ {2}Gemma +2 +- +0\.1 +43 +3159 +1\.19 +1\.95 +1\.88 +1\.85 +1\.84 +89 % +1\.15 +1\.18$/m);
  expect(stdout).toMatch(/^ {2}Gemma +3 +64 +0\.1 +43 +2334 {2}left out: a misprint$/m);
  const { stdout: json } = await runHere(['simulate', '--paper', '--json']);
  const document = JSON.parse(json);
  expect(document).toMatchObject({ version: 1, ok: true });
  expect(document.paper.depthWise).toHaveLength(36);
});

test('problems end with 1, wrong usage with 2, Ctrl-C with 130', async () => {
  const bad = join(scratch, 'bad.json');
  await writeFile(bad, JSON.stringify({ ...simulation, loops: 3, limts: {} }, undefined, 1));
  const failed = await runHere(['simulate', bad, '--json']);
  expect(failed.exitCode).toBe(1);
  expect(failed.stderr).toContain(`error unknown-key  ${bad}:`);
  expect(failed.stderr).toContain('Did you mean "limits"?');
  expect(JSON.parse(failed.stdout)).toMatchObject({ version: 1, ok: false, diagnostics: [{ code: 'unknown-key' }] });
  expect((await runHere(['simulate', join(scratch, 'none.json')])).exitCode).toBe(1);

  const nothing = await runHere(['simulate']);
  expect(nothing.exitCode).toBe(2);
  expect(nothing.stderr).toContain('FILE is missing.\n');
  expect((await runHere(['simulate', file, '--paper'])).exitCode).toBe(2);

  const long = join(scratch, 'long.json');
  const workload = { sequences: 2000, newTokens: 2000 };
  await writeFile(long, JSON.stringify({ ...simulation, workload }));
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 20);
  const { exitCode, stdout } = await runHere(['simulate', long], {}, stop.signal);
  expect({ exitCode, stdout }).toEqual({ exitCode: 130, stdout: '' });
});

test('the simulation in the help can be run', async () => {
  const { stdout } = await runHere(['simulate', '--help']);
  const example = stdout.slice(stdout.indexOf('  {\n'), stdout.indexOf('\n  }\n') + 4);
  const path = join(scratch, 'example.json');
  await writeFile(path, example);
  const { exitCode, stderr } = await runHere(['simulate', path, '--quiet']);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
});
