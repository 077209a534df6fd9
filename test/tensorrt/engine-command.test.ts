import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EngineBench } from '../../compiler/bench/bench-engines.ts';
import { verifyPackage } from '../../compiler/verify/verify-package.ts';
import type { VerifyDocument } from '../../compiler/verify/verify-report.ts';
import { runHere } from '../cli/run-here.ts';
import { installStandIn } from '../support/stand-in-trtexec/install.ts';
import { type StandInSettings, standInEnv } from '../support/stand-in-trtexec/settings.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { callsIn, compiled, copyOf, emptyEnv } from './packages.ts';

const usualTemp = process.env.TMPDIR;
let base: string;
let trtexec: string;
let folder: string;

/** The environment of a machine with one GPU, and a trtexec that behaves as it is told. */
const machine = (settings: StandInSettings = {}) => ({ ...emptyEnv, ...standInEnv(settings) });

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'rtc-test-'));
  trtexec = installStandIn(join(base, 'bin'));
  makeTinyModel(join(base, 'model'), {
    ...{ prelude: 1, block: 1, loops: 2, coda: 1, ranks: [2, 3], exits: { after: [1] } },
  });
  const common = { model: join(base, 'model'), env: machine() };
  await compiled({
    ...{ ...common, out: join(base, 'step'), lora: 'gather', pageSize: 16 },
    tensorrt: { trtexec, maxRows: 2, prefillChunk: 16 },
  });
  await compiled({
    ...{ ...common, out: join(base, 'whole'), form: 'unrolled', precision: 'f16' },
    tensorrt: { trtexec, maxRows: 4, prefillChunk: 32 },
  });
}, 60_000);

afterAll(() => rmSync(base, { recursive: true }));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-test-'));
  // Where calls of trtexec have their files: whatever is left there is ours.
  process.env.TMPDIR = join(folder, 'temporary');
  mkdirSync(process.env.TMPDIR);
});

afterEach(() => {
  if (usualTemp === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = usualTemp;
  rmSync(folder, { recursive: true });
});

const leftOver = () => readdirSync(join(folder, 'temporary'));

const verify = (name: string, settings: StandInSettings = {}, ...more: readonly string[]) =>
  runHere(['verify', join(base, name), '--engine', '--trtexec', trtexec, ...more], machine(settings));

test('engines with prelude, coda and LoRA give what their model gives, and the document says who ran them', async () => {
  const calls = join(folder, 'calls');
  const { exitCode, stdout, stderr } = await verify('step', { calls }, '--json');
  expect(stderr).toContain('… trtexec 1 of about ');
  const document = JSON.parse(stdout) as VerifyDocument;
  expect([exitCode, document.ok], stdout).toEqual([0, true]);
  expect(document.outputs.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      'logits',
      'exit_loop',
      'confidence',
      'next_token',
      'present.0.key',
      'present.2.value',
      'propagated.1.key',
    ]),
  );
  const runs = callsIn(calls).filter((args) => args.some((arg) => arg.startsWith('--loadEngine=')));
  const said = /was called (\d+) times: decode of step\.all\.plan (\d+), small of step\.all\.plan (\d+), prefill/;
  const [, all, decode, small] = said.exec(document.executedBy!) ?? [];
  expect(Number(all)).toBe(runs.length);
  expect(runs.length).toBeLessThan(25);
  expect(Math.abs(Number(decode) - Number(small))).toBeLessThanOrEqual(1);
  for (const args of runs) {
    expect(args).toEqual(expect.arrayContaining(['--iterations=1', '--warmUp=0', '--duration=0']));
    // An engine runs no empty list.
    expect(args.find((arg) => arg.startsWith('--shapes='))).not.toMatch(/[:x]0(?!\d)/);
  }
  expect(leftOver()).toEqual([]);
});

test.each(['next_token', 'confidence'])('a %s that is not that of the logits is found', async (output) => {
  const wrong = await verify('step', { perturb: { output, factor: 7 } }, '--json');
  expect(wrong.exitCode).not.toBe(0);
  const differing = (JSON.parse(wrong.stdout) as VerifyDocument).outputs.filter(({ ok }) => !ok);
  expect(differing.map(({ name }) => name)).toContain(output);
});

describe('engines of the form unrolled, in f16', () => {
  test('give what their model gives within what f16 allows', async () => {
    const { exitCode, stdout } = await verify('whole');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Run by trtexec of TensorRT 11.1.0 on NVIDIA Stand-In 80GB, which was called 5 times');
    expect(stdout).toContain('Verified');
  });

  test('that compute something wrong are found, exit code 3, and it is named', async () => {
    const { exitCode, stdout } = await verify('whole', { perturb: { output: 'present.1.key', factor: 1.2 } });
    expect(exitCode).toBe(3);
    expect(stdout).toContain('"present.1.key" differs first at batch 0, ');
    expect(stdout).toContain('Not verified.');
  });

  test('infinite numbers are no agreement', async () => {
    const { exitCode, stdout } = await verify('whole', { perturb: { output: 'logits', factor: 1.7e308 } });
    expect(exitCode).toBe(3);
    expect(stdout).toContain('not finite');
  });
});

test('trtexec that crashes is told with its log and the command, and its files are there: exit code 4', async () => {
  const { exitCode, stdout, stderr } = await verify('whole', { fail: 'run:crash' });
  expect([exitCode, stdout]).toEqual([4, '']);
  expect(stderr).toContain('error trtexec-crashed');
  const [kept] = leftOver();
  const call = join(folder, 'temporary', kept!, 'call');
  expect(readdirSync(call)).toEqual(expect.arrayContaining(['input-0.bin', 'trtexec.log']));
  expect(stderr).toContain(call);
});

test('no trtexec: exit code 4', async () => {
  const { exitCode, stderr } = await runHere(['verify', join(base, 'step'), '--engine'], emptyEnv);
  expect(exitCode).toBe(4);
  expect(stderr).toContain('error trtexec-missing');
});

test('Ctrl-C between two calls leaves nothing behind', async () => {
  const interruption = new AbortController();
  const verified = await verifyPackage(join(base, 'whole'), {
    engine: { trtexec, env: machine() },
    signal: interruption.signal,
    onProgress: ({ step }) => {
      if (step.startsWith('trtexec 2 ')) interruption.abort();
    },
  });
  expect(verified.ok).toBe(false);
  expect(verified.diagnostics.map(({ code }) => code)).toEqual(['interrupted']);
  expect(leftOver()).toEqual([]);
});

describe('engines that are not what the package says', () => {
  async function refused(change: (out: string) => void, settings: StandInSettings = {}) {
    const out = copyOf(join(base, 'whole'), join(folder, 'copy'));
    change(out);
    const calls = join(folder, 'calls');
    const ended = await runHere(['verify', out, '--engine', '--trtexec', trtexec], machine({ ...settings, calls }));
    // Nothing was run.
    const ran = existsSync(calls) ? callsIn(calls).flat() : [];
    expect(ran.filter((arg) => arg.startsWith('--loadEngine'))).toEqual([]);
    return ended;
  }

  const rewrite = (file: string, change: (text: string) => string) =>
    writeFileSync(file, change(readFileSync(file, 'utf8')));

  test('still to be built: exit code 4, and what to do', async () => {
    const { exitCode, stderr } = await refused((out) => {
      rmSync(join(out, 'model.all.plan'));
      rewrite(join(out, 'rtc.json'), (text) => JSON.stringify({ ...JSON.parse(text), plans: [] }));
    });
    expect(exitCode).toBe(4);
    expect(stderr).toContain('"model.all.plan" is not built yet');
    expect(stderr).toContain('Run build.sh');
  });

  test('altered: exit code 1', async () => {
    const { exitCode, stderr } = await refused((out) =>
      rewrite(join(out, 'model.all.plan'), (text) => text.replace('No engine', 'No Engine')),
    );
    expect(exitCode).toBe(1);
    expect(stderr).toContain('is not the engine that was built: its SHA-256 differs');
  });

  test('of another graph: exit code 1', async () => {
    const { exitCode, stderr } = await refused((out) =>
      rewrite(join(out, 'rtc.json'), (text) => text.replace(/("graphSha256": ")[0-9a-f]{4}/, '$10000')),
    );
    expect(exitCode).toBe(1);
    expect(stderr).toContain('was built from another "model.onnx"');
  });

  test('of older weights: exit code 1, with the file', async () => {
    const { exitCode, stderr } = await refused((out) => {
      const bytes = readFileSync(join(out, 'model.safetensors'));
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(join(out, 'model.safetensors'), bytes);
    });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('model.all.plan" was built from another "model.safetensors" than the package has');
    expect(stderr).toContain('Run build.sh in the package: it builds what does not fit again.');
  });

  test('with other profiles: exit code 1', async () => {
    const { exitCode, stderr } = await refused((out) =>
      rewrite(join(out, 'rtc.json'), (text) => {
        const manifest = JSON.parse(text);
        manifest.plans[0].profiles = ['decode', 'prefill'];
        return JSON.stringify(manifest);
      }),
    );
    expect(exitCode).toBe(1);
    expect(stderr).toContain('has the profiles decode, prefill, and the package says decode, small, prefill.');
  });

  test('of another version: exit code 1, with both', async () => {
    const { exitCode, stderr } = await refused(() => {}, { version: '11.0.0' });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('was built by TensorRT 11.1.0 for that version only; here is TensorRT 11.0.0');
  });

  test('without weights: exit code 1', async () => {
    const { exitCode, stderr } = await refused((out) =>
      rewrite(join(out, 'rtc.json'), (text) => text.replace('"--skipInference"', '"--skipInference","--stripWeights"')),
    );
    expect(exitCode).toBe(1);
    expect(stderr).toContain('was built without its weights');
  });
});

test('a package that was compiled for something else has no engines: exit code 1', async () => {
  const out = join(folder, 'onnx');
  await compiled({ model: join(base, 'model'), out, target: 'onnx' });
  const { exitCode, stderr } = await runHere(['verify', out, '--engine'], machine());
  expect(exitCode).toBe(1);
  expect(stderr).toContain('was compiled for onnx, and has no engines.');
});

test('rtc bench --engine-times: a table that rtc simulate takes, and the ways to batch with it', async () => {
  const calls = join(folder, 'calls');
  const out = join(folder, 'times.json');
  const { exitCode, stdout, stderr } = await runHere(
    [
      ...['bench', join(base, 'step'), '--engine-times', '--trtexec', trtexec, '--out', out, '--json'],
      ...['--mean-loops', '1.5', '--sequences', '20', '--context', '20', '--kv-policy', 'propagate'],
    ],
    machine({ calls, computeMs: 2 }),
  );
  expect([exitCode, stderr]).toEqual([0, expect.stringContaining('note head-estimated')]);
  const { times, profile, simulation } = JSON.parse(stdout) as EngineBench;
  const runs = callsIn(calls).filter((args) => args.some((arg) => arg.startsWith('--loadEngine=')));
  expect(runs.length).toBe(times.length);
  for (const args of runs) expect(args).toEqual(expect.arrayContaining(['--exportTimes=times.json', '--duration=1']));
  expect(new Set(times.map((time) => `${time.part} ${time.count} ${time.profile}`))).toEqual(
    new Set([
      ...['passes 1 decode', 'passes 1 small', 'passes 2 decode', 'passes 2 small', 'heads 2 decode', 'heads 2 small'],
      ...['prompt 16 prefill', 'propagate 1 decode', 'propagate 2 decode', 'propagate 1 small'],
    ]),
  );
  expect(times.every(({ median, low, high }) => median === 2 && low === 2 && high === 2)).toBe(true);
  expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual(profile);
  const { batchings } = simulation.runs[0]!;
  expect(batchings.map(({ batching }) => batching)).toEqual(
    expect.arrayContaining(['vanilla', 'sequence-wise', 'depth-wise']),
  );
  const file = join(folder, 'simulation.json');
  const same = { loops: 2, kvPolicy: 'propagate', exits: { mean: 1.5 }, exitsAfter: [1], prefillChunk: 16 };
  const workload = {
    sequences: 20,
    promptTokens: { least: 32, most: 96 },
    newTokens: { least: 64, most: 128 },
    seed: 1,
  };
  const limits = { maxRows: 2 };
  const times2 = { file: 'times.json' };
  writeFileSync(
    file,
    JSON.stringify({ format: 'rtc-simulation', version: 1, ...same, times: times2, workload, limits }),
  );
  const simulated = await runHere(['simulate', file, '--json']);
  expect(JSON.parse(simulated.stdout).runs).toEqual(JSON.parse(stdout).simulation.runs);
  expect(leftOver()).toEqual([]);
});

describe('what cannot be timed', () => {
  const bench = (name: string, ...more: readonly string[]) =>
    runHere(['bench', join(base, name), '--engine-times', '--trtexec', trtexec, ...more], machine());

  test('the form unrolled, by the shorter word as well: exit code 1', async () => {
    const { exitCode, stderr } = await runHere(['bench', join(base, 'whole'), '--engine'], machine());
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('need the form depth-batched')]);
  });

  test('more rows, positions or loops than there are: exit code 1, all at once', async () => {
    const { exitCode, stderr } = await bench('step', '--rows', '1,4', '--context', '500', '--mean-loops', '3');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('The engines take 2 rows, and 4 are asked for.');
    expect(stderr).toContain('The engines take 128 positions, and a row is to have 500 behind it.');
    expect(stderr).toContain('Tokens leave after 3 loops on average');
  });
});

test.each([
  [['verify', 'x', '--trtexec', 'y'], 'Add --engine.'],
  [['bench', 'x', '--trtexec', 'y'], 'Add --engine-times.'],
  [['bench', 'x', '--out', 'y'], 'Add --engine-times.'],
  [['bench', 'x', '--engine-times', '--html', 'y'], '"--engine-times" and "--html" do not go together'],
  [['bench', 'x', '--engine-times', '--no-engine'], '"--engine-times" and "--no-engine" do not go together'],
])('%j is wrong usage', async (argv, said) => {
  const { exitCode, stderr } = await runHere(argv);
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining(said)]);
});
