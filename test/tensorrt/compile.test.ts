import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import type { TensorrtOptions } from '../../compiler/tensorrt/tensorrt-options.ts';
import { rtc } from '../cli/rtc.ts';
import { runHere } from '../cli/run-here.ts';
import { installStandIn } from '../support/stand-in-trtexec/install.ts';
import { type StandInSettings, standInEnv } from '../support/stand-in-trtexec/settings.ts';
import { callsIn, compiled, contents, emptyEnv, opened, runningOf, tinyModelFolder, writeProgram } from './packages.ts';

const kjv = fileURLToPath(new URL('../../examples/kjv-relaxed/model.json', import.meta.url));

let scratch: string;
let model: string;
let standIn: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-tensorrt-'));
  model = tinyModelFolder(scratch);
  standIn = installStandIn(join(scratch, 'bin'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

const withStandIn = (settings: StandInSettings = {}) => ({ ...emptyEnv, TRTEXEC: standIn, ...standInEnv(settings) });

/** Codes and messages of a compilation that is refused. */
async function refused(tensorrt: TensorrtOptions, options: Partial<CompileOptions> = {}): Promise<string> {
  const out = join(scratch, 'refused');
  const result = await compile({
    ...{ model, out, target: 'tensorrt', env: emptyEnv },
    ...options,
    tensorrt: { build: false, ...tensorrt },
  });
  expect(result.ok).toBe(false);
  expect(existsSync(out)).toBe(false);
  return result.diagnostics.map(({ code, message, hint }) => `${code}: ${message} ${hint}`).join('\n');
}

describe('without trtexec', () => {
  test('the package is written, and five lines say what is missing and what was written', async () => {
    const out = join(scratch, 'kjv');
    const { exitCode, stdout, stderr } = await runHere(
      ['compile', kjv, '--target', 'tensorrt', '--out', out],
      emptyEnv,
    );
    expect(exitCode).toBe(4);
    expect(stdout).toBe(`written, without engines: ${out}\n`);
    const explained = stderr.slice(stderr.indexOf('error ')).trimEnd().split('\n');
    expect(explained).toEqual([
      `error trtexec-missing  ${out}`,
      '  There is no trtexec on PATH, nor in /usr/src/tensorrt/bin, /opt/tensorrt/bin, /usr/local/tensorrt/bin, /opt/TensorRT/bin.',
      '  Written, whole but for engines: step.onnx, propagate.onnx, build.sh, rtc.json, and the weights.',
      '  Where there is a GPU and TensorRT 10.16 or later, ./build.sh in a copy of this folder builds step.all.plan and propagate.all.plan.',
      '  hint: trtexec comes with the tar, deb and container of TensorRT; --trtexec names it, --no-build does without.',
    ]);
    const { manifest } = await opened(out);
    expect(manifest).toMatchObject({
      target: 'tensorrt',
      dialect: 'tensorrt',
      plans: [],
      tensorrt: { version: '10.16' },
    });
    expect(statSync(join(out, 'build.sh')).mode & 0o111).toBe(0o111);
    const inspected = await runHere(['inspect', out]);
    expect(inspected.stdout).toMatch(/^Engines for TensorRT 10\.16, attention in parts$/m);
    expect(inspected.stdout).toMatch(/^ {2}step\.all\.plan +not built$/m);
    expect(inspected.stdout).toMatch(/^ {4}decode +rows 1\.\.16\.\.16, tokens 1, pages 1\.\.8\.\.8, /m);
  });

  test('with --json it is a document that is not ok, and has the package', async () => {
    const out = join(scratch, 'json');
    const { exitCode, stdout } = await runHere(
      ['compile', model, '--target', 'tensorrt', '--out', out, '--json'],
      emptyEnv,
    );
    expect(exitCode).toBe(4);
    expect(JSON.parse(stdout)).toMatchObject({
      version: 1,
      ok: false,
      package: out,
      files: expect.arrayContaining([expect.objectContaining({ path: 'build.sh' })]),
      tensorrt: { version: '10.16', attention: 'parts', plans: [], engines: [{ plan: 'step.all.plan' }, {}] },
      diagnostics: [{ severity: 'error', code: 'trtexec-missing' }],
    });
  });

  test('--no-build asks nobody, and is done', async () => {
    const out = join(scratch, 'no-build');
    const calls = join(scratch, 'no-build.calls');
    const { exitCode, stdout } = await runHere(
      ['compile', model, '--target', 'tensorrt', '--no-build', '--out', out],
      withStandIn({ calls }),
    );
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^ {2}build\.sh +/m);
    expect(existsSync(calls)).toBe(false);
    expect((await opened(out)).manifest.plans).toEqual([]);
  });

  test('the same bytes whatever folder and environment, and whether trtexec is there or not', async () => {
    const versions = { tensorrtVersion: '11.1' };
    const asked = join(scratch, 'same-1');
    const found = join(scratch, 'elsewhere/same-2');
    const failed = withStandIn({ fail: 'build:no-gpu' });
    await compiled({ model, out: asked, tensorrt: { ...versions, build: false } });
    const result = await compiled({ model, out: found, env: failed, tensorrt: versions });
    expect(result.engines?.unbuilt[0]?.code).toBe('trtexec-no-gpu');
    const { 'step.all.log': log, ...files } = contents(found);
    expect(log).toContain('Device Information');
    expect(files).toEqual(contents(asked));
    for (const file of ['rtc.json', 'build.sh']) expect(files[file]).not.toContain(scratch);
  });

  test('--explain says why profiles are as they are', async () => {
    const out = join(scratch, 'explained');
    const flags = ['--max-rows', '8', '--exit-shares', '0.75,0.25', '--explain'];
    const { stdout } = await runHere(
      ['compile', model, '--target', 'tensorrt', '--no-build', '--out', out, ...flags],
      emptyEnv,
    );
    expect(stdout).toContain('8 rows a step');
    expect(stdout).toContain('step.all.plan, from step.onnx:');
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(`compiled ${out}`);
  });
});

describe('what is decided before the work', () => {
  test.each<[string, TensorrtOptions, Partial<CompileOptions>, string]>([
    ['more positions than the model has', { maxContext: 4096 }, {}, 'impossible-policy: A context of 4096 positions'],
    ['a chunk beyond the context', { maxContext: 64, prefillChunk: 65 }, {}, 'Give --prefill-chunk 64 or less.'],
    ['fewer rows than groups', { maxRows: 2 }, { attentionGroups: 4 }, 'Rows attend in 4 groups'],
    ['one share', { exitShares: [1] }, {}, 'There is 1 share of exits, and the model has 2 loops.'],
    [
      'a name that is none',
      { maxRow: 2 } as TensorrtOptions,
      {},
      'unknown-option: There is no option "tensorrt.maxRow". Did you mean "maxRows"?',
    ],
    [
      'a name for compile that is none',
      {},
      { precison: 'f16' } as Partial<CompileOptions>,
      'There is no option "precison". Did you mean "precision"?',
    ],
    ['shares of another number of loops', { exitShares: [0.5, 0.25, 0.25] }, {}, 'There are 3 shares of exits'],
    ['shares that are not all', { exitShares: [0.5, 0.25] }, {}, 'invalid-option: The option "exitShares"'],
    ['a mean beyond the loops', { meanLoops: 2.5 }, {}, 'Give --mean-loops a number from 1 to 2.'],
    ['a version that is none', { tensorrtVersion: 'ten' }, {}, 'invalid-option: The option "tensorrtVersion"'],
    ['a version that is too old', { tensorrtVersion: '8.6' }, {}, 'a version from 10.0 on'],
    ['Attention where there is none', { tensorrtVersion: '10.13', attention: 'native' }, {}, 'no-native-attention'],
    ['a level that there is not', { optimizationLevel: 6 }, {}, 'a whole number from 0 to 5'],
    ['memory without a unit', { workspace: '4' }, {}, 'Give a size with B, K, M or G behind it'],
    ['a precision flag', { trtexecArguments: ['--fp16'] }, {}, '"--fp16" is not for passing through.'],
    [
      'a flag that came later',
      { tensorrtVersion: '10.0', hardwareCompatibility: 'sameComputeCapability' },
      {},
      'unsupported-option',
    ],
    ['no timing cache to miss from', { errorOnTimingCacheMiss: true }, {}, 'no-timing-cache'],
    ['a timing cache that is not there', { timingCache: '/nowhere/timing.cache' }, {}, 'missing-file'],
    ['another timing cache', { timingCache: kjv, timingCacheSha256: '0'.repeat(64) }, {}, 'altered-file'],
    ['a form with a Loop', {}, { form: 'loop' }, 'no-loop-form'],
    ['another dialect', {}, { dialect: 'ort' }, 'no-dialect'],
    ['another layout', {}, { form: 'unrolled', layout: 'huggingface' }, 'no-hugging-face-layout'],
    ['another target', {}, { target: 'onnx' }, 'no-tensorrt'],
    ['exits that are not taken', { meanLoops: 1.5 }, { form: 'unrolled' }, 'no-exits'],
  ])('%s', async (_, tensorrt, options, says) => {
    expect(await refused(tensorrt, options)).toContain(says);
  });

  test('a share behind a loop that has no exit', async () => {
    const folder = tinyModelFolder(join(scratch, 'three'), { loops: 3, exits: { after: [2] } });
    expect(await refused({ exitShares: [0.5, 0.25, 0.25] }, { model: folder })).toContain(
      'A share of 0.5 leaves behind loop 1, and tokens of this model leave behind the loops 2, 3.',
    );
  });

  test('all that is wrong comes back at once', async () => {
    const said = await refused({ maxContext: 4096, meanLoops: 7, trtexecArguments: ['--best'] });
    expect(said.split('\n').filter((line) => /^[a-z-]+: /.test(line))).toHaveLength(3);
  });
});

describe('with trtexec', () => {
  test('graphs are written for its version, and its engines are listed', async () => {
    const out = join(scratch, 'built');
    const { exitCode, stdout } = await runHere(
      ['compile', model, '--target', 'tensorrt', '--precision', 'f16', '--out', out, '--json'],
      withStandIn({ version: '10.14.1' }),
    );
    expect(exitCode).toBe(0);
    const { tensorrt, files } = JSON.parse(stdout);
    expect(tensorrt).toMatchObject({ version: '10.14', attention: 'native' });
    expect(tensorrt.plans).toMatchObject([{ file: 'step.all.plan', tensorrt: '10.14.1' }, {}]);
    for (const { path, bytes } of files) expect([path, statSync(join(out, path)).size]).toEqual([path, bytes]);
    const { manifest } = await opened(out);
    expect(manifest.plans).toEqual(tensorrt.plans);
    // Nodes that may be computed in parts where there is no fused kernel.
    expect(manifest.plans![0]!.arguments.join(' ')).toMatch(/--decomposableAttentions=\S*Attention/);
    expect(manifest.plans![0]!.arguments).toContain('--stronglyTyped');
    const inspected = await runHere(['inspect', out]);
    expect(inspected.stdout).toMatch(/^Engines for TensorRT 10\.14, attention as a layer$/m);
    expect(inspected.stdout).toMatch(/^ {2}step\.all\.plan +[\d.]+ kB, TensorRT 10\.14\.1, NVIDIA .*\(9\.0\)$/m);
    const asJson = await runHere(['inspect', out, '--json']);
    expect(JSON.parse(asJson.stdout).plans).toEqual(manifest.plans);
  });

  test.each<[string, StandInSettings, TensorrtOptions, string, string]>([
    ['below 10.0', { version: '8.6.1' }, {}, 'trtexec-too-old', '10.16'],
    ['older than was asked for', { version: '10.3.0' }, { tensorrtVersion: '10.9' }, 'trtexec-too-old', '10.9'],
    ['that does not answer', { fail: 'help:missing-library' }, {}, 'trtexec-library', '10.16'],
  ])('one %s builds nothing', async (_, settings, tensorrt, code, version) => {
    const out = join(scratch, `old-${code}-${version}`);
    const { engines } = await compiled({ model, out, env: withStandIn(settings), tensorrt });
    expect(engines?.unbuilt.map((problem) => problem.code)).toEqual([code, 'no-engines']);
    expect((await opened(out)).manifest).toMatchObject({ plans: [], tensorrt: { version } });
  });

  test('a later one takes what was written for an earlier version', async () => {
    const out = join(scratch, 'later');
    const { engines } = await compiled({ model, out, env: withStandIn(), tensorrt: { tensorrtVersion: '10.0' } });
    expect(engines).toMatchObject({ version: '10.0', unbuilt: [] });
    // In its own words: 11 has no weak typing to turn off.
    expect(engines!.plans[0]!.arguments).not.toContain('--stronglyTyped');
    expect(readFileSync(join(out, 'build.sh'), 'utf8')).toContain('--stronglyTyped');
  });

  test('what stands behind -- is passed on, and kept for build.sh', async () => {
    const out = join(scratch, 'passed');
    const calls = join(scratch, 'passed.calls');
    const { exitCode, stderr } = await runHere(
      ['compile', model, '--target', 'tensorrt', '--out', out, '--quiet', '--', '--maxAuxStreams=0', '--verbose'],
      withStandIn({ calls }),
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(callsIn(calls).at(-1)!.slice(-2)).toEqual(['--maxAuxStreams=0', '--verbose']);
    expect(readFileSync(join(out, 'build.sh'), 'utf8')).toContain('--maxAuxStreams=0 \\\n  --verbose\n');
  });

  test('a build that fails is exit code 4, in its own words, and the package stays', async () => {
    const out = join(scratch, 'failed');
    const { exitCode, stdout, stderr } = await runHere(
      ['compile', model, '--target', 'tensorrt', '--out', out],
      withStandIn({ fail: 'build:parse-error' }),
    );
    expect(exitCode).toBe(4);
    expect(stdout).toBe(`written, without engines: ${out}\n`);
    expect(stderr).toContain('error trtexec-parser');
    expect(stderr).toContain('note no-engines');
    expect((await opened(out)).manifest.plans).toEqual([]);
    expect(existsSync(join(out, 'step.all.log'))).toBe(true);
  });

  test('compiling again removes engines and their logs, and keeps what was measured for the same version', async () => {
    const out = join(scratch, 'again');
    await compiled({ model, out, env: withStandIn() });
    const measured = readFileSync(join(out, 'timing.cache'), 'utf8');
    const again = await compiled({ model, out, tensorrt: { tensorrtVersion: '11.1', build: false } });
    expect(again.engines?.plans).toEqual([]);
    expect(Object.keys(contents(out))).not.toContain('step.all.plan');
    expect(Object.keys(contents(out))).not.toContain('step.all.log');
    expect(readFileSync(join(out, 'timing.cache'), 'utf8')).toBe(measured);
    expect(Object.keys((await opened(out)).manifest.files)).not.toContain('timing.cache');
    await compiled({ model, out, tensorrt: { tensorrtVersion: '10.16', build: false } });
    expect(existsSync(join(out, 'timing.cache'))).toBe(false);
  });

  test('a timing cache that is named goes into the package, and rtc.json pins it', async () => {
    const cache = join(scratch, 'measured');
    writeFileSync(cache, 'measured\n');
    const sha256 = '3c5e4bd0efb5c9ad7a0c6ed3e5f5bb1d2ae7d1a5e9f3d6ca1e4a66e6cdac0000';
    const wrong = await refused({ timingCache: cache, timingCacheSha256: sha256 });
    const actual = /has the SHA-256 ([0-9a-f]{64})/.exec(wrong)![1]!;
    const out = join(scratch, 'with-cache');
    await compiled({ model, out, tensorrt: { build: false, timingCache: cache, timingCacheSha256: actual } });
    expect((await opened(out)).manifest.tensorrt?.timingCacheSha256).toBe(actual);
    expect(readFileSync(join(out, 'timing.cache'), 'utf8')).toBe('measured\n');
    expect(readFileSync(join(out, 'build.sh'), 'utf8')).toContain(actual);
  });

  test('engines of their own for each profile, and the form unrolled', async () => {
    const separate = join(scratch, 'separate');
    const apart = await compiled({ model, out: separate, env: withStandIn(), tensorrt: { separateEngines: true } });
    expect(apart.engines!.plans.map(({ file }) => file)).toEqual([
      'step.decode.plan',
      'step.small.plan',
      'step.prefill.plan',
      'propagate.decode.plan',
      'propagate.small.plan',
    ]);
    const out = join(scratch, 'unrolled');
    const whole = await compiled({ model, out, form: 'unrolled', env: withStandIn() });
    expect(whole.engines!.plans).toMatchObject([{ file: 'model.all.plan', graph: 'model.onnx' }]);
    await opened(out);
  });

  test('Ctrl-C ends trtexec and all that it started, and is exit code 130', async () => {
    const out = join(scratch, 'interrupted');
    const pids = join(scratch, 'interrupted.pids');
    // Which ends by itself when it is told to, as trtexec does.
    const program = writeProgram(
      join(scratch, 'slow-trtexec'),
      `case "$*" in *saveEngine*) echo $$ >>'${pids}'; sleep 60 & echo $! >>'${pids}'; wait ;; esac\nexec '${standIn}' "$@"`,
    );
    const process = rtc(['compile', model, '--target', 'tensorrt', '--out', out], {
      env: { ...standInEnv({}), TRTEXEC: program },
    });
    while (!existsSync(pids) || readFileSync(pids, 'utf8').split('\n').length < 3)
      await new Promise((resolve) => setTimeout(resolve, 20));
    process.kill('SIGINT');
    const { exitCode, stderr } = await process;
    expect(exitCode).toBe(130);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stderr).toContain('error interrupted');
    expect(stderr).toContain('whole but for its engines');
    expect(runningOf(pids)).toEqual([]);
    expect((await opened(out)).manifest.plans).toEqual([]);
    expect(Object.keys(contents(out)).filter((name) => /partial|plan|lock/.test(name))).toEqual([]);
  });
});

test('nothing is left behind by what is interrupted before the package is there', async () => {
  const controller = new AbortController();
  const folder = join(scratch, 'early');
  mkdirSync(folder);
  const result = await compile({
    ...{ model, out: join(folder, 'package'), target: 'tensorrt', env: withStandIn() },
    signal: controller.signal,
    onProgress: ({ step }) => {
      if (step === 'write') controller.abort();
    },
  });
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'interrupted' }] });
  expect(contents(folder)).toEqual({});
});
