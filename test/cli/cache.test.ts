import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ExplainedPackage, explainPackage } from '../../compiler/tensorrt/plan-cache/explain-package.ts';
import { installStandIn } from '../support/stand-in-trtexec/install.ts';
import { type StandInSettings, standInEnv } from '../support/stand-in-trtexec/settings.ts';
import { callsIn, contents, copyOf, emptyEnv, tinyModelFolder, writeProgram } from '../tensorrt/packages.ts';
import { runHere } from './run-here.ts';

const gpu = 'NVIDIA Example 80GB';
const driver = '580.10.2';

let scratch: string;
let model: string;
let trtexec: string;
/** A package with its engines, and a cache that has them: built once, used by copies. */
let first: string;
let firstCache: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-cache-'));
  model = tinyModelFolder(scratch);
  trtexec = installStandIn(join(scratch, 'bin'));
  first = join(scratch, 'first');
  firstCache = join(scratch, 'first-cache');
  expect(await compileInto(first, firstCache)).toMatchObject({ exitCode: 0 });
});
afterAll(() => rmSync(scratch, { recursive: true }));

let room: string;
let cache: string;
let out: string;
let count = 0;
beforeEach(() => {
  count += 1;
  room = join(scratch, `room-${count}`);
  mkdirSync(room);
  cache = copyOf(firstCache, join(room, 'cache'));
  out = join(room, 'package');
});

/** A machine with a GPU, as far as rtc looks at one. */
function machine({ settings = {}, smi }: { readonly settings?: StandInSettings; readonly smi?: string } = {}) {
  const folder = mkdtempSync(join(scratch, 'machine-'));
  const calls = join(folder, 'calls');
  writeProgram(join(folder, 'nvidia-smi'), `echo "${smi ?? `9.0, ${driver}, ${gpu}`}"`);
  const standIn = { version: '10.16.0', gpu, computeCapability: '9.0', calls, ...settings };
  const env = { PATH: folder, TRTEXEC: trtexec, ...standInEnv(standIn) };
  /** How often an engine was built, and not only help asked for. */
  const builds = () => callsIn(calls).filter((call) => call.some((word) => word.startsWith('--onnx='))).length;
  return { env, builds };
}

async function compileInto(
  folder: string,
  cacheDir: string,
  { env, flags = [], from = model }: { env?: NodeJS.ProcessEnv; flags?: readonly string[]; from?: string } = {},
) {
  const command = ['compile', from, '--target', 'tensorrt', '--out', folder, '--cache-dir', cacheDir, ...flags];
  return runHere(command, env ?? machine().env);
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const keysIn = (dir: string) => readdirSync(join(dir, 'plans')).sort();
const rtcJson = (folder: string) => JSON.parse(readFileSync(join(folder, 'rtc.json'), 'utf8'));

describe('rtc compile --cache-dir', () => {
  test('takes engines that were built before from the same things, and does not start trtexec for them', async () => {
    const { env, builds } = machine();
    expect(await compileInto(out, cache, { env })).toMatchObject({ exitCode: 0 });
    expect(builds()).toBe(0);
    const [was, is] = [contents(first), contents(out)];
    expect(
      Object.keys(was)
        .filter((name) => !(name in is))
        .sort(),
    ).toEqual(['propagate.all.log', 'step.all.log', 'timing.cache']);
    for (const [name, text] of Object.entries(is)) expect([name, text === was[name]]).toEqual([name, true]);
    expect(rtcJson(out).plans.map(({ file }: { readonly file: string }) => file)).toEqual([
      'step.all.plan',
      'propagate.all.plan',
    ]);
  });

  test.each<[string, Parameters<typeof machine>[0], readonly string[]]>([
    ['another version', { settings: { version: '10.16.1' } }, []],
    ['another driver', { smi: `9.0, 580.10.3, ${gpu}` }, []],
    ['an argument for trtexec', {}, ['--', '--maxAuxStreams=0']],
  ])('builds again for %s', async (_, differently, flags) => {
    const { env, builds } = machine(differently);
    const { exitCode, stderr } = await compileInto(out, cache, { env, flags });
    expect([exitCode, stderr.includes('warning')]).toEqual([0, false]);
    expect(builds()).toBe(2);
    expect(keysIn(cache).length).toBe(4);
  });

  test('builds again when a weight changes, wherever the model is', async () => {
    const moved = copyOf(model, join(room, 'moved'));
    const [one, two] = [machine(), machine()];
    await compileInto(out, cache, { env: one.env, from: moved });
    expect(one.builds()).toBe(0);
    const file = join(moved, 'model.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 2]! ^= 1;
    writeFileSync(file, bytes);
    await compileInto(out, cache, { env: two.env, from: moved });
    expect(two.builds()).toBe(2);
  });

  test('builds what is damaged again, and says so', async () => {
    const [key] = keysIn(cache);
    const plan = join(cache, 'plans', key!, 'plan');
    const bytes = readFileSync(plan);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(plan, bytes);
    const { env, builds } = machine();
    const { exitCode, stderr } = await compileInto(out, cache, { env });
    expect([exitCode, builds()]).toEqual([0, 1]);
    expect(stderr).toContain('damaged-cache-entry');
    for (const { file, sha256: expected } of rtcJson(out).plans) {
      expect(sha256(readFileSync(join(out, file)))).toBe(expected);
    }
    expect(keysIn(cache)).toEqual(keysIn(firstCache));
    expect(readdirSync(join(cache, 'damaged'))).toEqual([key]);
  });

  test('is not used, and says so, where nobody knows the GPU', async () => {
    const { env, builds } = machine({ smi: 'No devices were found' });
    const unused = join(room, 'unused');
    const { exitCode, stderr } = await compileInto(out, unused, { env });
    expect([exitCode, builds()]).toEqual([0, 2]);
    expect(stderr).toContain('cache-not-used');
    expect(stderr).toContain('nvidia-smi');
    expect(existsSync(unused)).toBe(false);
  });

  test('keeps no engine under the name of a GPU that trtexec did not use', async () => {
    const { env, builds } = machine({ smi: `9.0, ${driver}, NVIDIA First`, settings: { gpu: 'NVIDIA Second' } });
    const { exitCode, stderr } = await compileInto(out, cache, { env });
    expect([exitCode, builds()]).toEqual([0, 2]);
    expect(stderr).toContain('not-cached');
    expect(keysIn(cache)).toEqual(keysIn(firstCache));
  });

  test('keeps nothing of a build that failed', async () => {
    const { env } = machine({ settings: { fail: 'build:out-of-memory' } });
    const empty = join(room, 'empty');
    expect((await compileInto(out, empty, { env })).exitCode).toBe(4);
    const files = existsSync(empty) ? readdirSync(empty, { recursive: true, withFileTypes: true }) : [];
    expect(files.filter((entry) => entry.isFile())).toEqual([]);
  });

  test('lets a build begin with what earlier ones measured on the same GPU with the same version', async () => {
    const [name] = readdirSync(join(cache, 'timing'));
    expect(name).toBe('NVIDIA-Example-80GB-sm90-trt10.16.0.cache');
    const before = sha256(readFileSync(join(cache, 'timing', name!)));
    await compileInto(out, cache, { flags: ['--max-rows', '8'] });
    expect(rtcJson(out).plans[0].timingCacheSha256).toBe(before);
    expect(sha256(readFileSync(join(cache, 'timing', name!)))).toBe(sha256(readFileSync(join(out, 'timing.cache'))));
    // Another version measures anew.
    const other = join(room, 'other');
    await compileInto(other, cache, { env: machine({ settings: { version: '10.16.1' } }).env });
    expect(rtcJson(other).plans[0].timingCacheSha256).toBeUndefined();
  });
});

test('a pinned timing cache is part of what an engine is built from, and nothing is added to it', async () => {
  // trtexec would add to it what it measures.
  const pinned = join(room, 'pinned.cache');
  writeFileSync(pinned, 'timings of something else\n');
  const flags = ['--timing-cache', pinned, '--timing-cache-sha256', sha256(readFileSync(pinned))];
  const [one, two] = [machine(), machine()];
  const kept = readFileSync(join(cache, 'timing', 'NVIDIA-Example-80GB-sm90-trt10.16.0.cache'));
  expect(await compileInto(out, cache, { env: one.env, flags })).toMatchObject({ exitCode: 0 });
  await compileInto(out, cache, { env: two.env, flags });
  expect([one.builds(), two.builds()]).toEqual([2, 0]);
  expect(readFileSync(join(out, 'timing.cache'))).toEqual(readFileSync(pinned));
  expect(readFileSync(join(cache, 'timing', 'NVIDIA-Example-80GB-sm90-trt10.16.0.cache'))).toEqual(kept);
  const { stdout } = await runHere(['cache', 'why', out, '--cache-dir', firstCache], machine().env);
  expect(stdout).toContain('the pinned timing cache is new');
});

describe('rtc cache why', () => {
  const why = async (folder: string, env: NodeJS.ProcessEnv, flags: readonly string[] = []) => {
    const ended = await runHere(['cache', 'why', folder, '--cache-dir', cache, '--json', ...flags], env);
    expect(ended).toMatchObject({ exitCode: 0 });
    return JSON.parse(ended.stdout) as ExplainedPackage;
  };
  const outcomes = ({ engines }: ExplainedPackage) => engines.map(({ plan, outcome }) => [plan, outcome]);

  test('agrees with what compile does: all are there', async () => {
    expect(outcomes(await why(first, machine().env))).toEqual([
      ['step.all.plan', 'hit'],
      ['propagate.all.plan', 'hit'],
    ]);
    const { stdout } = await runHere(['cache', 'why', first, '--cache-dir', cache], machine().env);
    for (const key of keysIn(cache)) expect(stdout).toContain(`hit, kept as ${key.slice(0, 12)}`);
  });

  test.each<[string, readonly string[], readonly string[]]>([
    ['a flag', ['--optimization-level', '5'], ['--builderOptimizationLevel=5 is new']],
    ['TF32', ['--allow-tf32'], ['--noTF32 is gone']],
  ])('names %s, of a package that has no engines yet', async (_, flags, messages) => {
    await runHere(['compile', model, '--target', 'tensorrt', '--no-build', '--out', out, ...flags], emptyEnv);
    const { engines } = await why(out, machine().env);
    expect(engines.map(({ outcome }) => outcome)).toEqual(['miss', 'miss']);
    for (const { nearest } of engines) {
      expect(nearest!.differences.map(({ message }) => message)).toEqual(messages);
    }
  });

  test('names the weight file that was edited, and the graph that was not', async () => {
    copyOf(first, out);
    const file = join(out, 'model.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 2]! ^= 1;
    writeFileSync(file, bytes);
    const { engines } = await why(out, machine().env);
    const [step] = engines;
    expect(step!.nearest!.differences).toMatchObject([{ part: 'weights', name: 'model.safetensors' }]);
    const { stdout } = await runHere(['cache', 'why', out, '--cache-dir', cache], machine().env);
    expect(stdout).toContain('model.safetensors has another content (SHA-256 ');
  });

  test('names versions, GPU and driver', async () => {
    const env = machine({ settings: { version: '11.1.0' }, smi: '8.9, 581.1, NVIDIA L4' }).env;
    const { engines } = await why(first, env);
    expect(engines[0]!.nearest!.differences.map(({ message }) => message)).toEqual([
      'TensorRT is 11.1.0, and was 10.16.0',
      `the GPU is NVIDIA L4, and was ${gpu}`,
      'the compute capability is 8.9, and was 9.0',
      `the driver is 581.1, and was ${driver}`,
      '--stronglyTyped is gone',
    ]);
  });

  test('says what is not known without a GPU, and for which machines an engine is kept', async () => {
    const { engines, unknown } = await why(first, emptyEnv);
    expect(unknown).toEqual(['tensorrt', 'gpu', 'computeCapability', 'driver']);
    expect(engines[0]).toMatchObject({
      outcome: 'depends',
      keptFor: [{ tensorrt: '10.16.0', gpu, computeCapability: '9.0', driver }],
    });
    expect(engines[0]).not.toHaveProperty('key');
    const { stdout } = await runHere(['cache', 'why', first, '--cache-dir', cache], emptyEnv);
    expect(stdout).toContain(`${gpu}, compute capability 9.0, driver ${driver}, TensorRT 10.16.0`);
    expect(stdout).toContain('the GPU (--gpu)');
  });

  test('takes the word of the user for what is not known', async () => {
    const told = ['--gpu', gpu, '--compute-capability', '9.0', '--driver', driver, '--tensorrt-version', '10.16.0'];
    expect(outcomes(await why(first, emptyEnv, told))).toEqual([
      ['step.all.plan', 'hit'],
      ['propagate.all.plan', 'hit'],
    ]);
    const { engines, unknown } = await why(first, emptyEnv, ['--gpu', 'NVIDIA L4']);
    expect(unknown).toEqual(['tensorrt', 'computeCapability', 'driver']);
    expect(engines[0]!.nearest!.differences.map(({ part }) => part)).toEqual(['gpu']);
  });

  test('what is damaged is no hit', async () => {
    const [key] = keysIn(cache) as [string, ...string[]];
    const plan = join(cache, 'plans', key, 'plan');
    const bytes = readFileSync(plan);
    bytes[0]! ^= 1;
    rmSync(plan);
    writeFileSync(plan, bytes);
    const { stdout, stderr } = await runHere(['cache', 'why', first, '--cache-dir', cache], machine().env);
    expect(stdout.match(/hit, kept as/g)).toHaveLength(1);
    expect(stdout).toContain('miss');
    expect(stderr).toContain('An engine that was kept is damaged: its bytes are not those that were kept.');
  });

  test('of a version that cannot build the package there is nothing to hit', async () => {
    await runHere(
      ['compile', model, '--target', 'tensorrt', '--no-build', '--out', out, '--hardware-compatibility', 'ampere+'],
      emptyEnv,
    );
    const json = rtcJson(out);
    json.tensorrt.settings.hardwareCompatibility = 'sameComputeCapability';
    writeFileSync(join(out, 'rtc.json'), JSON.stringify(json));
    const { engines } = await why(out, emptyEnv, ['--tensorrt-version', '10.0.1']);
    expect(engines[0]!.nearest!.differences.map(({ part }) => part)).toContain('tensorrt');
  });

  test('says so where nothing is kept', async () => {
    mkdirSync(join(room, 'empty'));
    const { exitCode, stdout } = await runHere(['cache', 'why', first, '--cache-dir', join(room, 'empty')], emptyEnv);
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('step.all.plan  miss: no engine is kept')]);
  });

  test('does not list what differs from another engine altogether', async () => {
    await runHere(
      ['compile', model, '--target', 'tensorrt', '--form', 'unrolled', '--no-build', '--out', out],
      emptyEnv,
    );
    const { stdout } = await runHere(['cache', 'why', out, '--cache-dir', cache], machine().env);
    expect(stdout).toBe('model.all.plan  miss: no engine of this name or graph is kept\n');
    const { engines } = await why(out, machine().env);
    expect(engines[0]!.nearest!.differences.length).toBeGreaterThan(3);
  });

  test.each<[string, (name: string) => readonly string[], string]>([
    ['a package without engines', () => [out, '--cache-dir', cache], 'not-for-engines'],
    ['a cache that is not there', () => [first, '--cache-dir', join(room, 'none')], 'missing-file'],
    ['a package that is not there', () => [join(room, 'none'), '--cache-dir', cache], 'not-a-package'],
  ])('refuses %s', async (_, flags, code) => {
    await runHere(['compile', model, '--out', out], emptyEnv);
    const { exitCode, stderr } = await runHere(['cache', 'why', ...flags('')], emptyEnv);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`error ${code}`)]);
  });

  test('Ctrl-C ends it', async () => {
    const ended = await runHere(['cache', 'why', first, '--cache-dir', cache], machine().env, AbortSignal.abort());
    expect(ended).toMatchObject({ exitCode: 130, stdout: '' });
    const asked = { cacheDir: cache, env: machine().env, signal: AbortSignal.abort() };
    expect(await explainPackage(first, asked)).toMatchObject({ ok: false, diagnostics: [{ code: 'interrupted' }] });
  });

  test('a trtexec that was named has to answer', async () => {
    const flags = ['--cache-dir', cache, '--trtexec', join(room, 'none')];
    const { exitCode, stderr } = await runHere(['cache', 'why', first, ...flags], emptyEnv);
    expect([exitCode, stderr]).toEqual([4, expect.stringContaining('error trtexec-missing')]);
  });
});

describe('rtc cache list, rtc cache prune', () => {
  test('a list has engines, timing caches, and what they take', async () => {
    const { exitCode, stdout } = await runHere(['cache', 'list', '--cache-dir', cache]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('step.all.plan');
    expect(stdout).toContain(`${gpu}  sm 9.0  TensorRT 10.16.0  driver ${driver}`);
    expect(stdout).toContain('2 engines and 1 timing cache, ');
    const json = JSON.parse((await runHere(['cache', 'list', '--cache-dir', cache, '--json'])).stdout);
    expect(json.engines.map(({ key }: { readonly key: string }) => key).sort()).toEqual(keysIn(cache));
    expect(json).toMatchObject({
      ok: true,
      damaged: [],
      engines: [{ file: 'propagate.all.plan', parts: { gpu } }, {}],
    });
  });

  test('pruning to a size keeps what fits', async () => {
    const { size } = rtcJson(first).plans[1];
    const flags = ['--cache-dir', cache, '--keep-bytes', String(size)];
    const { exitCode, stdout } = await runHere(['cache', 'prune', ...flags, '--json']);
    expect(exitCode).toBe(0);
    const { removed, removedBytes, keptBytes } = JSON.parse(stdout);
    expect(keysIn(cache).length).toBe(2 - removed.length);
    expect(keptBytes).toBeLessThanOrEqual(size);
    expect(removedBytes + keptBytes).toBe(size + rtcJson(first).plans[0].size);
  });

  test('pruning all leaves no engine, and packages keep theirs', async () => {
    const { exitCode, stdout } = await runHere(['cache', 'prune', '--cache-dir', cache, '--all']);
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^2 engines of .* removed, none kept\n$/)]);
    expect(keysIn(cache)).toEqual([]);
    expect(existsSync(join(first, 'step.all.plan'))).toBe(true);
  });

  test.each<[readonly string[], string]>([
    [['cache', 'list'], 'The option "--cache-dir <folder>" is missing.'],
    [['cache', 'why', '--cache-dir', 'x'], 'PACKAGE is missing.'],
    [['cache', 'why', 'p', '--cache-dir', 'x', '--tensorrt-version', '10.16'], 'a version with its patch'],
    [['cache', 'prune', '--cache-dir', 'x'], 'It is not said what may go.'],
    [['cache', 'prune', '--cache-dir', 'x', '--all', '--keep-bytes', '1G'], 'do not go together'],
    [['cache', 'prune', '--cache-dir', 'x', '--keep-bytes', 'much'], '"much" is no value for --keep-bytes'],
    [['cache', 'wy'], 'There is no command "wy". Did you mean "why"?'],
  ])('rtc %j is wrong usage', async (line, message) => {
    const { exitCode, stdout, stderr } = await runHere(line);
    expect([exitCode, stdout, stderr]).toEqual([2, '', expect.stringContaining(message)]);
  });

  test('help of the command names what it can do, and help of each says how', async () => {
    const { exitCode, stdout } = await runHere(['cache', '--help']);
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('$ rtc cache why ')]);
    for (const name of ['why', 'list', 'prune']) {
      expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
      const help = await runHere(['cache', name, '--help']);
      expect([help.exitCode, help.stdout]).toEqual([0, expect.stringContaining(`$ rtc cache ${name} `)]);
      for (const flag of ['--json', '--quiet', '--cache-dir']) expect(help.stdout).toContain(flag);
    }
  });
});
