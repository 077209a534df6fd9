import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkPlace } from '../../compiler/package/place-folder.ts';
import { buildJobs, settledJob } from '../../compiler/tensorrt/build/build-jobs.ts';
import { buildPlans } from '../../compiler/tensorrt/build/build-plans.ts';
import { readPlans } from '../../compiler/tensorrt/plans/read-plans.ts';
import type { Diagnostic } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { buildArguments } from '../../targets/tensorrt/trtexec/build-arguments.ts';
import { installStandIn } from '../support/stand-in-trtexec/install.ts';
import { type FailureName, type StandInSettings, standInEnv } from '../support/stand-in-trtexec/settings.ts';
import { callsIn, compiled, contents, copyOf, opened, runningOf, tinyModelFolder, writeProgram } from './packages.ts';

let scratch: string;
let template: string;
let standIn: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-build-'));
  standIn = installStandIn(join(scratch, 'bin'));
  template = join(scratch, 'template');
  await compiled({ model: tinyModelFolder(scratch), out: template, tensorrt: { build: false } });
});
afterAll(() => rmSync(scratch, { recursive: true }));

interface BuildOptions {
  readonly trtexec?: string;
  readonly edit?: (manifest: PackageManifest) => PackageManifest;
  readonly signal?: AbortSignal;
  readonly buildTimeout?: number;
  readonly cacheDir?: string;
  readonly path?: string;
}

/** Builds the engines of a package by the stand-in. */
async function build(folder: string, settings: StandInSettings = {}, options: BuildOptions = {}) {
  const { trtexec = standIn, edit = (manifest) => manifest, signal, path, ...rest } = options;
  const { manifest } = await opened(folder);
  return buildPlans({
    folder,
    manifest: edit(manifest),
    options: rest,
    trtexec: { path: trtexec, version: { major: 11, minor: 1, patch: 0 } },
    env: { PATH: path ?? '/nowhere', ...standInEnv(settings) },
    ...(signal && { signal }),
  });
}

const fresh = (name: string) => copyOf(template, join(scratch, name));
const hashOf = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const engineFiles = ['step.all.plan', 'propagate.all.plan'];

describe('engines that are built', () => {
  test('take their names, and rtc.json says with what they were built', async () => {
    const folder = fresh('good');
    const calls = join(scratch, 'good.calls');
    const built = await build(folder, { calls, gpu: 'NVIDIA H100 80GB HBM3', computeCapability: '9.0' });
    if (!built.ok) expect.fail(JSON.stringify(built.diagnostics));
    const { manifest } = await opened(folder);
    expect(manifest.plans).toEqual(built.value);
    expect(built.value.map(({ file }) => file)).toEqual(engineFiles);
    const jobs = buildJobs({ ...manifest, tensorrt: manifest.tensorrt! }, { major: 11, minor: 1, patch: 0 }, () => []);
    for (const [i, stamp] of built.value.entries()) {
      const bytes = readFileSync(join(folder, stamp.file));
      expect(stamp).toEqual({
        file: jobs[i]!.engine.plan,
        graph: jobs[i]!.engine.graph,
        profiles: i === 0 ? ['decode', 'small', 'prefill'] : ['decode', 'small'],
        size: bytes.length,
        sha256: hashOf(bytes),
        graphSha256: hashOf(readFileSync(join(folder, stamp.graph))),
        weights: { 'model.safetensors': hashOf(readFileSync(join(folder, 'model.safetensors'))) },
        tensorrt: '11.1.0',
        gpu: 'NVIDIA H100 80GB HBM3',
        computeCapability: '9.0',
        versionCompatible: false,
        hardwareCompatibility: 'none',
        arguments: buildArguments(settledJob(jobs[i]!)),
        // The first build makes the timing cache that the second begins with.
        ...(i === 1 && { timingCacheSha256: expect.stringMatching(/^[0-9a-f]{64}$/) }),
      });
    }
    // Called with names that nobody takes for an engine.
    expect(callsIn(calls)).toEqual(jobs.map((job) => buildArguments(job)));
    expect(callsIn(calls)[0]).toContain('--saveEngine=step.all.plan.partial');
    const added = Object.keys(contents(folder)).filter((name) => !existsSync(join(template, name)));
    expect(added.sort()).toEqual([...engineFiles, 'propagate.all.log', 'step.all.log', 'timing.cache'].sort());
    expect(readFileSync(join(folder, 'step.all.log'), 'utf8')).toContain('&&&& PASSED');
    expect(await readPlans(folder, manifest)).toMatchObject({ ok: true, value: built.value });
  });

  test('come from the folder of engines when nothing has changed, and trtexec is not called', async () => {
    const cacheDir = join(scratch, 'engines');
    const path = join(scratch, 'smi');
    mkdirSync(path);
    writeProgram(join(path, 'nvidia-smi'), 'echo 9.0, 570.86.10, NVIDIA H100 80GB HBM3');
    const gpu = { gpu: 'NVIDIA H100 80GB HBM3', computeCapability: '9.0' } as const;
    const first = await build(fresh('cached-1'), gpu, { cacheDir, path });
    const calls = join(scratch, 'cached.calls');
    const again = fresh('cached-2');
    const second = await build(again, { ...gpu, calls }, { cacheDir, path });
    expect(second).toEqual({ ...first, diagnostics: [] });
    expect(existsSync(calls)).toBe(false);
    expect((await opened(again)).manifest.plans).toHaveLength(2);
    // Another driver is another build.
    writeProgram(join(path, 'nvidia-smi'), 'echo 9.0, 580.12.01, NVIDIA H100 80GB HBM3');
    await build(fresh('cached-3'), { ...gpu, calls }, { cacheDir, path });
    expect(callsIn(calls)).toHaveLength(2);
  });

  test('what trtexec measured on another GPU than nvidia-smi names is filed nowhere', async () => {
    const cacheDir = join(scratch, 'engines-of-two');
    const path = join(scratch, 'smi-of-two');
    mkdirSync(path);
    writeProgram(join(path, 'nvidia-smi'), 'echo 9.0, 570.86.10, NVIDIA H100 80GB HBM3');
    const built = await build(fresh('two-gpus'), { gpu: 'NVIDIA L4', computeCapability: '8.9' }, { cacheDir, path });
    expect(built).toMatchObject({ ok: true, diagnostics: [{ code: 'not-cached' }, { code: 'not-cached' }] });
    expect(existsSync(join(cacheDir, 'timing'))).toBe(false);
  });

  test('one at a time: who comes second is told, and does not take the folder away either', async () => {
    const folder = fresh('held');
    const lock = join(folder, 'build.sh.lock');
    mkdirSync(lock);
    writeFileSync(join(lock, 'owner'), `process ${process.pid} on ${hostname()}\n`);
    const second = await build(folder);
    expect(second).toMatchObject({ ok: false, diagnostics: [{ code: 'already-building' }] });
    expect(await checkPlace(folder, [])).toMatchObject({ code: 'already-building' });
    // Of another machine nobody knows whether it runs.
    writeFileSync(join(lock, 'owner'), 'process 1 on elsewhere\n');
    expect(await build(folder)).toMatchObject({ ok: false, diagnostics: [{ code: 'already-building' }] });
    // No process has so large a number.
    writeFileSync(join(lock, 'owner'), `process 99999999 on ${hostname()}\n`);
    expect(await checkPlace(folder, [])).toBeUndefined();
    expect(await build(folder)).toMatchObject({ ok: true });
    expect(existsSync(lock)).toBe(false);
  });

  test('without nvidia-smi nothing is looked up, and that is said', async () => {
    const cacheDir = join(scratch, 'unused');
    const built = await build(fresh('no-smi'), {}, { cacheDir });
    expect(built).toMatchObject({ ok: true, diagnostics: [{ severity: 'warning', code: 'cache-not-used' }] });
    expect(existsSync(cacheDir)).toBe(false);
  });

  test('a timing cache that is pinned is what every build begins with, and stays as it is', async () => {
    const folder = fresh('pinned');
    writeFileSync(join(folder, 'timing.cache'), 'measured once\n');
    const timingCacheSha256 = hashOf('measured once\n');
    const edit = (manifest: PackageManifest): PackageManifest => ({
      ...manifest,
      tensorrt: { ...manifest.tensorrt!, timingCacheSha256 },
    });
    const built = await build(folder, {}, { edit });
    if (!built.ok) expect.fail(JSON.stringify(built.diagnostics));
    expect(built.value.map((stamp) => stamp.timingCacheSha256)).toEqual([timingCacheSha256, timingCacheSha256]);
    expect(readFileSync(join(folder, 'timing.cache'), 'utf8')).toBe('measured once\n');
    expect(readFileSync(join(folder, 'step.all.log'), 'utf8')).toContain('Loaded 14 bytes of cache');
  });

  test('warnings of trtexec are told, and the stamp has the GPU of its log rather than that of nvidia-smi', async () => {
    const path = join(scratch, 'other-smi');
    mkdirSync(path);
    writeProgram(join(path, 'nvidia-smi'), 'echo 8.6, 570.86.10, NVIDIA A10');
    const built = await build(fresh('two-gpus'), { gpu: 'NVIDIA H200', computeCapability: '9.0' }, { path });
    if (!built.ok) expect.fail(JSON.stringify(built.diagnostics));
    expect(built.value[0]).toMatchObject({ gpu: 'NVIDIA H200', computeCapability: '9.0', driver: '570.86.10' });
  });
});

describe('what fails leaves the package as it was', () => {
  /** Nothing but logs is new, and nothing is other than it was. */
  function expectUntouched(folder: string): void {
    const { 'step.all.log': _, 'propagate.all.log': __, ...rest } = contents(folder);
    expect(rest).toEqual(contents(template));
  }

  test.each<[FailureName, string, RegExp]>([
    ['build:parse-error', 'trtexec-parser', /block|head|prelude/],
    ['build:out-of-memory', 'trtexec-out-of-memory', /memory/],
    ['build:crash', 'trtexec-crashed', /SIGSEGV/],
    ['build:killed', 'trtexec-', /SIGKILL/],
    ['build:partial-plan', 'trtexec-failed', /engine/],
    ['build:truncated-plan', 'trtexec-', /./],
    ['build:disk-full', 'trtexec-disk-full', /./],
    ['build:no-plan', 'trtexec-failed', /no engine/],
    ['build:empty-plan', 'trtexec-failed', /no engine/],
    ['build:uncaught', 'trtexec-', /./],
    ['build:garbage', 'trtexec-', /./],
    ['build:no-gpu', 'trtexec-no-gpu', /./],
  ])('%s', async (fail, code, says) => {
    const folder = fresh(fail.replace(':', '-'));
    const built = await build(folder, { fail });
    expect(built.ok).toBe(false);
    const error = built.diagnostics.find(({ severity }) => severity === 'error')!;
    expect(error.code.startsWith(code)).toBe(true);
    expect(`${error.message} ${error.hint}`).toMatch(says);
    expectUntouched(folder);
    expect(existsSync(join(folder, 'step.all.log'))).toBe(true);
  });

  test('a flag that this version does not have', async () => {
    const folder = fresh('unknown-flag');
    const edit = (manifest: PackageManifest): PackageManifest => ({
      ...manifest,
      tensorrt: {
        ...manifest.tensorrt!,
        settings: { ...manifest.tensorrt!.settings, extra: ['--fromTheFuture=1'] },
      },
    });
    const built = await build(folder, {}, { edit });
    expect(codes(built.diagnostics)).toEqual(['trtexec-option']);
    expectUntouched(folder);
  });

  test('the second engine: the first one goes, what it measured stays', async () => {
    const folder = fresh('second');
    const settings = JSON.stringify({ fail: 'build:crash' });
    const program = writeProgram(
      join(scratch, 'fails-late'),
      `case "$*" in *propagate.onnx*) STAND_IN_TRTEXEC='${settings}' ;; esac\nexec '${standIn}' "$@"`,
    );
    const built = await build(folder, {}, { trtexec: program });
    expect(codes(built.diagnostics)).toEqual(['trtexec-crashed']);
    expect(readFileSync(join(folder, 'timing.cache'), 'utf8')).toContain('stand-in timing cache');
    rmSync(join(folder, 'timing.cache'));
    expectUntouched(folder);
  });

  test('weights that change during the build: nobody knows what the engine is made of', async () => {
    const folder = fresh('changing');
    const file = join(folder, 'model.safetensors');
    const before = readFileSync(file);
    const program = writeProgram(join(scratch, 'changes'), `printf x >>'${file}'\nexec '${standIn}' "$@"`);
    const built = await build(folder, {}, { trtexec: program });
    expect(codes(built.diagnostics)).toEqual(['altered-file']);
    expect(built.diagnostics[0]!.message).toContain('changed during the build');
    writeFileSync(file, before);
    expectUntouched(folder);
  });

  test('a hang that runs into the time limit, with all that it started', async () => {
    const folder = fresh('hang');
    const pids = join(scratch, 'hang.pids');
    const built = await build(folder, { fail: 'build:hang', pids }, { buildTimeout: 1 });
    expect(codes(built.diagnostics)).toEqual(['trtexec-timeout']);
    expect(readFileSync(pids, 'utf8').trimEnd().split('\n')).toHaveLength(2);
    expect(runningOf(pids)).toEqual([]);
    expectUntouched(folder);
  });

  test('Ctrl-C in the middle of a build', async () => {
    const folder = fresh('aborted');
    const pids = join(scratch, 'aborted.pids');
    const controller = new AbortController();
    const building = build(folder, { buildMs: 30_000, pids }, { signal: controller.signal });
    while (!existsSync(pids)) await new Promise((resolve) => setTimeout(resolve, 20));
    controller.abort();
    expect(codes((await building).diagnostics)).toEqual(['interrupted']);
    expect(runningOf(pids)).toEqual([]);
    expectUntouched(folder);
  });

  test('an rtc.json that cannot be written: engines without a word in it would be nobody’s', async () => {
    const folder = fresh('unwritable');
    mkdirSync(join(folder, 'rtc.json.partial'));
    const built = await build(folder);
    expect(built.ok).toBe(false);
    expect(codes(built.diagnostics)).toEqual(['not-a-file']);
    rmSync(join(folder, 'rtc.json.partial'), { recursive: true });
    rmSync(join(folder, 'timing.cache'));
    expectUntouched(folder);
  });
});

function codes(diagnostics: readonly Diagnostic[]): readonly string[] {
  return diagnostics.map(({ code }) => code);
}
