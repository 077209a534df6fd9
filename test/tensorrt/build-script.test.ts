import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildJobs } from '../../compiler/tensorrt/build/build-jobs.ts';
import { readPlans } from '../../compiler/tensorrt/plans/read-plans.ts';
import { buildScript } from '../../targets/tensorrt/build-script.ts';
import { buildArguments } from '../../targets/tensorrt/trtexec/build-arguments.ts';
import { installPlaces } from '../../targets/tensorrt/trtexec/find-trtexec.ts';
import { installStandIn } from '../support/stand-in-trtexec/install.ts';
import { type FailureName, type StandInSettings, standInEnv } from '../support/stand-in-trtexec/settings.ts';
import { callsIn, compiled, contents, copyOf, opened, runningOf, tinyModelFolder, writeProgram } from './packages.ts';

let scratch: string;
let template: string;
let standIn: string;
let pinned: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc script ’'));
  standIn = installStandIn(join(scratch, 'bin'));
  template = join(scratch, 'template');
  const model = tinyModelFolder(scratch);
  // A single quote, and what a shell would make files of.
  const trtexecArguments = ["--staticPlugins=it's.so", '--setPluginsToSerialize=*'];
  await compiled({ model, out: template, tensorrt: { build: false, tensorrtVersion: '10.16', trtexecArguments } });
  pinned = join(scratch, 'pinned');
  const timingCache = join(scratch, 'measured');
  writeFileSync(timingCache, 'measured\n');
  const timingCacheSha256 = createHash('sha256').update('measured\n').digest('hex');
  await compiled({ model, out: pinned, tensorrt: { build: false, timingCache, timingCacheSha256 } });
});
afterAll(() => rmSync(scratch, { recursive: true }));

const fresh = (name: string) => copyOf(template, join(scratch, name));

/** Runs build.sh from another folder, where the machine has no GPU of its own. */
function run(folder: string, settings: StandInSettings = {}, args: readonly string[] = [], env: object = {}) {
  return execa(join(folder, 'build.sh'), args, {
    cwd: scratch,
    reject: false,
    extendEnv: false,
    env: { PATH: '/usr/bin:/bin', TRTEXEC: standIn, ...standInEnv({ version: '10.16.0', ...settings }), ...env },
  });
}

const hashOf = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

/** Other numbers of the same sizes, as a model has them that was trained on. */
function retrain(folder: string): void {
  const file = join(folder, 'model.safetensors');
  const bytes = readFileSync(file);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(file, bytes);
}

const left = (folder: string) => Object.keys(contents(folder)).filter((name) => /partial|lock/.test(name));

describe('build.sh', () => {
  test('builds every engine as rtc would, and leaves a stamp of each that reads back', async () => {
    const folder = fresh('good');
    const calls = join(scratch, 'good.calls');
    const { exitCode, stdout, stderr } = await run(folder, { calls, gpu: 'NVIDIA "X" \\ 1', computeCapability: '9.0' });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toContain('step.all.plan is built\n');
    const { manifest } = await opened(folder);
    const jobs = buildJobs({ ...manifest, tensorrt: manifest.tensorrt! }, { major: 10, minor: 16 }, () => []);
    expect(callsIn(calls).filter((line) => !line.includes('--help'))).toEqual(jobs.map(buildArguments));
    const plans = await readPlans(folder, manifest);
    if (!plans.ok) expect.fail(JSON.stringify(plans.diagnostics));
    for (const [i, stamp] of plans.value.entries()) {
      const bytes = readFileSync(join(folder, stamp.file));
      expect(stamp).toEqual({
        file: ['step.all.plan', 'propagate.all.plan'][i],
        graph: ['step.onnx', 'propagate.onnx'][i],
        profiles: i === 0 ? ['decode', 'small', 'prefill'] : ['decode', 'small'],
        size: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex'),
        graphSha256: manifest.files[stamp.graph]!.sha256,
        weights: { 'model.safetensors': hashOf(join(folder, 'model.safetensors')) },
        tensorrt: '10.16.0',
        // Without what would end a word in JSON.
        gpu: 'NVIDIA X  1',
        computeCapability: '9.0',
        versionCompatible: false,
        hardwareCompatibility: 'none',
        arguments: expect.arrayContaining([`--saveEngine=${stamp.file}`, '--timingCacheFile=timing.cache']),
        ...(i === 1 && { timingCacheSha256: expect.any(String) }),
      });
      expect(stamp.arguments.slice(-2)).toEqual(["--staticPlugins=it's.so", '--setPluginsToSerialize=*']);
    }
    expect(left(folder)).toEqual([]);

    // Again: nothing to do, until something is other than it was.
    const words = async (settings: StandInSettings = {}, args: readonly string[] = []) =>
      (await run(folder, settings, args)).stdout.match(/is (there already|built)$/gm)?.map((line) => line.slice(3));
    expect(await words()).toEqual(['there already', 'there already']);
    appendFileSync(join(folder, 'step.all.plan'), ' ');
    expect(await words()).toEqual(['built', 'there already']);
    expect(await words({ version: '11.0.0' })).toEqual(['built', 'built']);
    expect(await words({ version: '11.0.0' }, ['--force'])).toEqual(['built', 'built']);
  });

  test('leaves engines alone that rtc compile built here, and builds those of another machine again', async () => {
    const folder = join(scratch, 'by-rtc');
    const env = { PATH: '/nowhere', TRTEXEC: standIn, ...standInEnv({ version: '10.16.0' }) };
    await compiled({ model: join(scratch, 'model'), out: folder, env });
    expect((await run(folder)).stdout).toBe('step.all.plan is there already\npropagate.all.plan is there already');
    const smi = join(scratch, 'smi');
    execFileSync('mkdir', [smi]);
    writeProgram(join(smi, 'nvidia-smi'), "echo 'NVIDIA H200, 9.0, 570.86.10'");
    const path = { PATH: `${smi}:/usr/bin:/bin` };
    const { stdout } = await run(folder, { gpu: 'NVIDIA H200', computeCapability: '9.0' }, [], path);
    expect(stdout).toContain('step.all.plan is built');
    const plans = await readPlans(folder, (await opened(folder)).manifest);
    const { plans: [byRtc] = [] } = (await opened(folder)).manifest;
    const [byScript] = plans.ok ? plans.value : [];
    const {
      gpu: _,
      computeCapability: __,
      driver: ___,
      sha256: ____,
      size: _____,
      timingCacheSha256: ______,
      ...same
    } = byScript!;
    expect(byRtc).toMatchObject(same);
    // The stamp beside the engine is the one that counts now.
    expect(plans).toMatchObject({ ok: true, value: [{ gpu: 'NVIDIA H200', driver: '570.86.10' }, {}] });
  });

  test('weights that changed are weights to build from: in a folder with engines of the older ones', async () => {
    const folder = fresh('stale');
    await run(folder);
    const old = readFileSync(join(folder, 'step.all.plan.json'), 'utf8');
    // Another package, over what is there; its graphs are the same to the byte.
    const retrained = fresh('retrained');
    retrain(retrained);
    copyOf(retrained, folder);
    expect((await run(folder)).stdout).toMatch(/step\.all\.plan is built\n[\s\S]*propagate\.all\.plan is built/);
    const plans = await readPlans(folder, (await opened(folder)).manifest);
    const weights = { 'model.safetensors': hashOf(join(retrained, 'model.safetensors')) };
    expect(plans).toMatchObject({ ok: true, value: [{ weights }, { weights }] });
    expect(old).not.toContain(weights['model.safetensors']);
    expect((await run(folder)).stdout).toBe('step.all.plan is there already\npropagate.all.plan is there already');
    rmSync(join(folder, 'model.safetensors'));
    expect(await run(folder)).toMatchObject({ exitCode: 1, stderr: 'build.sh: model.safetensors is missing' });
  });

  test('one at a time: another one is told who is at work, and leaves everything alone', async () => {
    const folder = fresh('two');
    const pids = join(scratch, 'two.pids');
    const first = run(folder, { buildMs: 60_000, pids });
    while (!existsSync(pids) || readFileSync(pids, 'utf8').trimEnd().split('\n').length < 2)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const before = readdirSync(folder);
    const second = await run(folder, {}, ['--force']);
    expect(second).toMatchObject({ exitCode: 1, stdout: '' });
    expect(second.stderr).toBe(
      `build.sh: another build.sh is at work in this folder: process ${first.pid} on ${hostname()}\n` +
        `build.sh: wait for it; if it is gone, remove what it left: rm -r '${folder}/build.sh.lock'`,
    );
    // The first one goes on writing.
    expect(readdirSync(folder)).toEqual(expect.arrayContaining(before));
    first.kill('SIGTERM');
    expect((await first).exitCode).toBe(130);
    expect(left(folder)).toEqual([]);
    // What a killed one left, and what to do about it.
    mkdirSync(join(folder, 'build.sh.lock'));
    expect((await run(folder)).stderr).toContain('a process that does not say which');
    rmSync(join(folder, 'build.sh.lock'), { recursive: true });
    expect((await run(folder)).exitCode).toBe(0);
  });

  test.each<[FailureName, RegExp]>([
    ['build:parse-error', /\[E\] .*[Pp]ars/],
    ['build:crash', /exit code 139/],
    ['build:partial-plan', /step\.all\.plan was not built: trtexec left no whole engine/],
    ['build:truncated-plan', /step\.all\.plan was not built: trtexec left no whole engine/],
    ['build:empty-plan', /step\.all\.plan was not built: trtexec left no whole engine/],
    ['build:no-plan', /step\.all\.plan was not built: trtexec left no whole engine/],
    ['build:disk-full', /FileStreamWriter/],
    ['build:no-gpu', /step\.all\.log has all that it said/],
  ])('%s is exit code 4; what is half built goes', async (fail, says) => {
    const folder = fresh(fail.replace(':', '-'));
    const { exitCode, stderr } = await run(folder, { fail });
    expect(exitCode).toBe(4);
    expect(stderr).toMatch(says);
    const { 'step.all.log': log, ...files } = contents(folder);
    expect(log).toBeDefined();
    expect(files).toEqual(contents(template));
  });

  test.each<[string, StandInSettings, readonly string[], object, number, RegExp]>([
    ['no trtexec', {}, [], { TRTEXEC: '' }, 4, /there is no trtexec on PATH/],
    ['a TRTEXEC that is none', {}, [], { TRTEXEC: './none' }, 4, /TRTEXEC is "\.\/none", which is no program/],
    ['one that is too old', { version: '10.15.0' }, [], {}, 4, /written for 10\.16 or later/],
    ['one of 8.6, which counts otherwise', { version: '8.6.1' }, [], {}, 4, /is of TensorRT v8601/],
    ['something else', { fail: 'help:garbage' }, [], {}, 4, /does not say which version/],
    ['an option that there is not', {}, ['--fast'], {}, 2, /there is no option "--fast"/],
  ])('%s', async (_, settings, args, env, code, says) => {
    const { exitCode, stderr } = await run(template, settings, args, env);
    expect({ exitCode, stderr }).toEqual({ exitCode: code, stderr: expect.stringMatching(says) });
    expect(existsSync(join(template, 'step.all.plan'))).toBe(false);
  });

  test('finds trtexec where rtc does: on PATH, where TENSORRT_HOME and TENSORRT_ROOT say; relative paths too', async () => {
    const folder = fresh('on-path');
    for (const env of [
      { TRTEXEC: '', PATH: `${join(scratch, 'bin')}:/usr/bin:/bin` },
      { TRTEXEC: '', TENSORRT_HOME: scratch },
      { TRTEXEC: '', TENSORRT_HOME: '/nowhere', TENSORRT_ROOT: '.' },
      { TRTEXEC: 'bin/trtexec' },
    ])
      expect(await run(folder, {}, ['--force'], env)).toMatchObject({ exitCode: 0, stderr: '' });
    const script = readFileSync(join(folder, 'build.sh'), 'utf8');
    for (const place of installPlaces) expect(script).toContain(` ${place}`);
  });

  test('--help says what it does, and needs nothing', async () => {
    const { exitCode, stdout } = await run(template, {}, ['--help'], { TRTEXEC: '' });
    expect(exitCode).toBe(0);
    expect(stdout).toContain('step.all.plan from step.onnx, profiles decode, small, prefill');
  });

  test('a graph that was altered on the way is no graph to build from', async () => {
    const folder = fresh('altered');
    appendFileSync(join(folder, 'propagate.onnx'), ' ');
    const { exitCode, stderr } = await run(folder);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: 'build.sh: propagate.onnx is not the file that the package was written with',
    });
  });

  test('begins with the timing cache that is pinned, and with no other', async () => {
    const folder = copyOf(pinned, join(scratch, 'pinned-good'));
    expect((await run(folder)).exitCode).toBe(0);
    expect(readFileSync(join(folder, 'timing.cache'), 'utf8')).toBe('measured\n');
    for (const stem of ['step', 'propagate'])
      expect(readFileSync(join(folder, `${stem}.all.log`), 'utf8')).toContain('Loaded 9 bytes of cache');
    const other = copyOf(pinned, join(scratch, 'pinned-other'));
    writeFileSync(join(other, 'timing.cache'), 'measured otherwise\n');
    const { exitCode, stderr } = await run(other);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('timing.cache is not the one that engines are to be built with');
    expect(left(other)).toEqual([]);
  });

  test('Ctrl-C ends trtexec, leaves nothing half built, and is exit code 130', async () => {
    const folder = fresh('interrupted');
    const pids = join(scratch, 'interrupted.pids');
    const running = run(folder, { buildMs: 60_000, pids });
    // One for --help, one for the build.
    while (!existsSync(pids) || readFileSync(pids, 'utf8').trimEnd().split('\n').length < 2)
      await new Promise((resolve) => setTimeout(resolve, 20));
    running.kill('SIGINT');
    const { exitCode, stderr } = await running;
    expect({ exitCode, stderr }).toEqual({ exitCode: 130, stderr: 'build.sh: interrupted' });
    expect(runningOf(pids)).toEqual([]);
    const { 'step.all.log': _, ...files } = contents(folder);
    expect(files).toEqual(contents(template));
  });
});

const shellcheck = hasShellcheck();

// Nothing that the project needs; where it is not there, the test is skipped and says so.
test.skipIf(!shellcheck)('shellcheck finds nothing', () => {
  for (const folder of [template, pinned]) {
    const script = join(folder, 'build.sh');
    expect(execFileSync('shellcheck', [script], { encoding: 'utf8' })).toBe('');
  }
});

test('a name that a shell would take for something else is only a comment', () => {
  const text = buildScript({
    name: "x\n$(touch 'y')",
    version: { major: 10, minor: 16 },
    engines: [],
    versionCompatible: false,
    hardwareCompatibility: 'none',
    timingCache: { file: 'timing.cache', workFile: 'timing.cache.partial' },
  });
  expect(text.split('\n')[1]).toContain('x___touch__y__');
});

function hasShellcheck(): boolean {
  try {
    execFileSync('shellcheck', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
