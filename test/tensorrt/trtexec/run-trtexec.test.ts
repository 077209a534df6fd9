import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { exitCodeOf } from '../../../compiler/cli/exit-code.ts';
import { formatDiagnostics } from '../../../files/format-diagnostics.ts';
import { encodeModel } from '../../../targets/onnx/proto.ts';
import { nodeDescriber } from '../../../targets/tensorrt/trtexec/describe-node.ts';
import { commandLine } from '../../../targets/tensorrt/trtexec/quote-sh.ts';
import { type RunOptions, runTrtexec } from '../../../targets/tensorrt/trtexec/run-trtexec.ts';
import { installStandIn } from '../../support/stand-in-trtexec/install.ts';
import {
  type FailureName,
  failureNames,
  type StandInSettings,
  standInEnv,
} from '../../support/stand-in-trtexec/settings.ts';
import { buildArgs, smallModel, smallModelBytes } from './small-model.ts';
import { waitUntilGone } from './wait-until-gone.ts';

let scratch: string;
let path: string;
let folder: string;
let log: string;
let pids: string;
let count = 0;
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit'] as const;
const before = signals.map((signal) => process.listenerCount(signal));

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-trtexec-'));
  path = installStandIn(scratch);
});
afterAll(() => rm(scratch, { recursive: true }));

beforeEach(async () => {
  folder = join(scratch, `package ${count++}`);
  await mkdir(folder);
  await writeFile(join(folder, 'step.onnx'), smallModelBytes);
  log = join(folder, 'step.all.log');
  pids = `${folder}.pids`;
});

afterEach(async () => {
  expect(
    signals.map((signal) => process.listenerCount(signal)),
    'listeners that were left behind',
  ).toEqual(before);
  // Whatever happened: none of its processes is left. Only what left the group by itself can be.
  if (existsSync(pids)) await waitUntilGone(startedProcesses());
});

function startedProcesses(): readonly number[] {
  return existsSync(pids) ? readFileSync(pids, 'utf8').trim().split('\n').filter(Boolean).map(Number) : [];
}

function run(settings: StandInSettings, options: Partial<RunOptions> = {}, args: readonly string[] = buildArgs) {
  const [major = 11, minor = 1, patch = 0] = (settings.version ?? '11.1.0').split('.').map(Number);
  return runTrtexec({ path, version: { major, minor, patch } }, args, {
    ...{ cwd: folder, log, graceMs: 100, describeNode: nodeDescriber(smallModelBytes) },
    env: { ...process.env, ...standInEnv({ pids, ...settings }) },
    ...options,
  });
}

const versions = ['10.0.1', '10.16.0', '11.0.0', '11.1.0'];

test.each(versions)('an engine is built by %s: the facts, the phases, the log, the timing cache', async (version) => {
  const phases: string[] = [];
  const result = await run(
    { version, gpu: 'NVIDIA L4', computeCapability: '8.9' },
    { onProgress: (p) => phases.push(p) },
  );
  expect(result.ok, formatDiagnostics(result.diagnostics)).toBe(true);
  if (!result.ok) return;
  const [major, minor, patch] = version.split('.').map(Number);
  expect(result.value).toMatchObject({
    version: { major, minor, patch },
    ...{ gpu: 'NVIDIA L4', computeCapability: '8.9', buildSeconds: 0.0234, warnings: [], performance: undefined },
  });
  const plan = await readFile(join(folder, 'step.all.plan.partial'));
  expect(Math.abs(result.value.engineBytes! - plan.length)).toBeLessThanOrEqual(1);
  expect(phases).toEqual(['starting', 'parsing', 'building', 'finished']);
  const text = await readFile(log, 'utf8');
  expect(text).toContain(`# trtexec ${buildArgs.join(' ')}`);
  expect(text).toContain('Could not read cache from: timing.cache');
  expect((await readdir(folder)).sort()).toEqual([
    'step.all.log',
    'step.all.plan.partial',
    'step.onnx',
    'timing.cache',
    'timing.cache.lock',
  ]);
});

test('warnings about what was asked for come along', async () => {
  const result = await run({}, {}, ['--onnx=step.onnx', '--saveEngine=a', '--skipInference', '--optShapes=x:2x3']);
  expect(result.ok && result.value.warnings).toEqual([
    'optShapes is being broadcasted to minShapes for tensor x',
    'optShapes is being broadcasted to maxShapes for tensor x',
  ]);
  const without = await run({}, {}, ['--onnx=step.onnx', '--saveEngine=a', '--skipInference']);
  expect(without.ok && without.value.warnings).toEqual([
    'Dynamic dimensions required for input: x, but no shapes were provided. Automatically overriding shape to: 1x3',
  ]);
});

interface Expected {
  readonly code: string;
  readonly message: readonly (string | RegExp)[];
  readonly hint?: string | RegExp;
  /** Of the engine's file, what the stand-in leaves. */
  readonly partial?: boolean;
}

/** Every way to fail in a build, but those that take the caller's part. */
const failures: Readonly<Partial<Record<FailureName, Expected>>> = {
  'build:parse-error': {
    code: 'trtexec-parser',
    message: [
      'The parser of TensorRT 11.1.0 refuses the graph at node 2, Shape in sizes of inputs (node "/size/Shape").',
      '  While parsing node number 2 [Shape -> "/size/Shape.out"]:',
      '  ERROR: onnxOpCheckers.cpp:838 In function checkFallbackPluginImporter:',
      '  [6] creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
    ],
    hint: 'This version has no operator Shape: compile with --tensorrt-version 11.1, or with --attention parts.',
  },
  'build:two-parse-errors': {
    code: 'trtexec-parser',
    message: ['node number 2 [Shape -> "/size/Shape.out"]', 'node number 3 [Add -> "y"]'],
  },
  'build:missing-weights': {
    code: 'trtexec-parser',
    message: ['finds no weights in "./model.safetensors"', 'WeightsContext.cpp:166: Failed to open file'],
    hint: 'beside its graphs',
  },
  'build:out-of-memory': {
    code: 'trtexec-out-of-memory',
    message: ['The GPU has too little memory for this build', 'Cuda Runtime (out of memory)'],
    hint: '--workspace',
    partial: true,
  },
  'build:killed': {
    code: 'trtexec-out-of-memory',
    message: [/was killed while it was building the engine \(SIGKILL\)/],
    hint: 'dmesg',
  },
  'build:crash': { code: 'trtexec-crashed', message: ['trtexec crashed while it was building the engine (SIGSEGV).'] },
  'build:abort': { code: 'trtexec-crashed', message: ['(SIGABRT)', "Assertion `ok' failed."] },
  'build:partial-plan': {
    code: 'trtexec-failed',
    message: ['exit code 0, but left no engine that can be read back', 'Assertion engine != nullptr failed'],
    partial: true,
  },
  'build:truncated-plan': {
    code: 'trtexec-failed',
    message: ['exit code 0, but left no engine that can be read back'],
    hint: 'room on the disk',
    partial: true,
  },
  'build:disk-full': {
    code: 'trtexec-disk-full',
    message: ['Cannot write to FileStreamWriter'],
    hint: 'room on the disk',
    partial: true,
  },
  'build:no-plan': {
    code: 'trtexec-failed',
    message: ['exit code 0, but there is no engine in "step.all.plan.partial"'],
  },
  'build:empty-plan': { code: 'trtexec-failed', message: ['exit code 0, but there is no engine in'], partial: true },
  'build:shapes': {
    code: 'trtexec-shapes',
    message: [
      'The opt sizes of profile 0 do not fit the graph, at Shape in sizes of inputs (node "/size/Shape").',
      'ISliceLayer',
    ],
    partial: true,
  },
  'build:no-implementation': {
    code: 'trtexec-failed',
    message: ['TensorRT has no kernel for a part of the graph: Shape in sizes of inputs'],
    hint: '--optimization-level',
    partial: true,
  },
  'build:timing-cache-miss': {
    code: 'trtexec-timing-cache',
    message: ['told not to measure'],
    hint: 'keep its timing.cache',
    partial: true,
  },
  'build:uncaught': { code: 'trtexec-out-of-memory', message: ['out of memory on the host', 'std::bad_alloc'] },
  'build:garbage': { code: 'trtexec-failed', message: ['exit code 3', 'dolor sit amet'] },
  'build:invalid-utf8': { code: 'trtexec-failed', message: ['Internal Error (ü€\u{1f600})'], partial: true },
  'build:long-lines': { code: 'trtexec-failed', message: [/Internal Error \(z{300,400}/], partial: true },
  'build:many-lines': { code: 'trtexec-failed', message: ['Error[2]: the last one'], partial: true },
  'build:no-gpu': {
    code: 'trtexec-no-gpu',
    message: ['trtexec finds no GPU.', 'Cannot find any available devices'],
    hint: '--gpus all',
  },
  'build:old-driver': { code: 'trtexec-no-gpu', message: ["The GPU's driver is too old"], hint: 'nvidia-smi' },
  'build:silent': {
    code: 'trtexec-failed',
    message: ['trtexec failed with exit code 1 while it was starting, and named no error.'],
  },
};

describe.each(Object.entries(failures))('%s', (name, { code, message, hint, partial = false }) => {
  test(`is told as ${code}; the log is kept; nothing else is there`, async () => {
    const result = await run({ fail: name as FailureName });
    expect(result.ok).toBe(false);
    expect(result.diagnostics.map((d) => [d.severity, d.code])).toEqual([['error', code]]);
    expect(exitCodeOf(result.diagnostics)).toBe(4);
    const [found] = result.diagnostics;
    for (const part of message) {
      if (typeof part === 'string') expect(found!.message).toContain(part);
      else expect(found!.message).toMatch(part);
    }
    if (hint !== undefined) expect(found!.hint).toContain(hint);
    expect(found!.hint).toContain(`The whole output is in ${log}`);
    expect(found!.hint).toContain(`Again: ${commandLine(folder, path, buildArgs)}`);
    // For people: a few lines, none of them endless, no control characters.
    const shown = formatDiagnostics(result.diagnostics);
    expect(shown.split('\n').length).toBeLessThan(24);
    expect(Math.max(...shown.split('\n').map((line) => line.length))).toBeLessThan(900);
    const files = (await readdir(folder)).filter((file) => !file.startsWith('timing.cache')).sort();
    expect(files).toEqual(['step.all.log', ...(partial ? ['step.all.plan.partial'] : []), 'step.onnx']);
  });
});

test.each([
  ['build:out-of-memory', 'trtexec-out-of-memory', 'too little memory for this build'],
  ['build:partial-plan', 'trtexec-failed', 'exit code 1 while it was building the engine'],
  ['build:disk-full', 'trtexec-disk-full', 'Cannot write to FileStreamWriter'],
] as const)('up to 10.12 the exit code says it: %s', async (fail, code, message) => {
  const result = await run({ fail, version: '10.12.0' });
  expect(result.diagnostics).toMatchObject([{ code, message: expect.stringContaining(message) }]);
  expect(await readFile(log, 'utf8')).toContain('&&&& FAILED');
});

test('every way to fail is tried somewhere', () => {
  const elsewhere: readonly FailureName[] = [
    ...(['build:hang', 'build:child', 'build:escaped-child'] as const),
    ...(['run:crash', 'run:out-of-memory', 'run:hang'] as const),
    ...failureNames.filter((name) => name.startsWith('help:')),
  ];
  expect([...Object.keys(failures), ...elsewhere].sort()).toEqual([...failureNames].sort());
});

test('the log has what was said in the middle of a crash, bytes that are no UTF-8, and lines of megabytes as they were', async () => {
  await run({ fail: 'build:invalid-utf8' });
  expect((await readFile(log)).includes(Buffer.of(0x5b, 0xff, 0xfe, 0xc3, 0x28))).toBe(true);
  await run({ fail: 'build:long-lines' });
  const text = await readFile(log, 'utf8');
  expect(text.match(/x+/g)!.map((run_) => run_.length)).toContain(3_000_000);
});

test.each(versions)('a flag that %s has not', async (version) => {
  const flag = version.startsWith('10.') ? '--noCudaGraph' : '--fp16';
  const result = await run({ version }, {}, [...buildArgs, flag]);
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'trtexec-option' }] });
  expect(result.diagnostics[0]!.message).toContain(`trtexec ${version} has no flag ${flag}`);
  expect(await readdir(folder)).not.toContain('step.all.plan.partial');
});

test.each([
  [['--builderOptimizationLevel=high'], 'no number'],
  [['--sparsity=maybe'], 'Unknown sparsity mode: maybe'],
  [['--optShapes=x:1x3'], 'Multiple --minShapes'],
])('a value that it does not take: %s', async (extra, message) => {
  const result = await run({}, {}, [...buildArgs, ...extra]);
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'trtexec-option' }] });
  expect(result.diagnostics[0]!.message).toContain(message);
});

test('a name that is no input, and sizes that do not fit it', async () => {
  const named = await run(
    {},
    {},
    buildArgs.map((arg) => arg.replace('Shapes=x:', 'Shapes=z:')),
  );
  expect(named.diagnostics[0]).toMatchObject({
    code: 'trtexec-shapes',
    message: expect.stringContaining('for "z", which is no input'),
  });
  const ranks = await run(
    {},
    {},
    buildArgs.map((arg) => arg.replace(':2x3', ':2x4')),
  );
  expect(ranks.diagnostics[0]).toMatchObject({ code: 'trtexec-shapes' });
});

test('a graph that is no ONNX', async () => {
  await writeFile(join(folder, 'step.onnx'), 'not a model');
  const result = await run({});
  expect(result.diagnostics[0]).toMatchObject({
    code: 'trtexec-failed',
    message: expect.stringContaining('Failed to parse ONNX model'),
  });
});

test('a graph of a later version, in the words of the parser', async () => {
  const [first, ...rest] = smallModel.graph.nodes;
  const nodes = [{ ...first!, opType: 'TensorScatter' }, ...rest];
  await writeFile(join(folder, 'step.onnx'), encodeModel({ ...smallModel, graph: { ...smallModel.graph, nodes } }));
  const result = await run({ version: '10.13.0' });
  expect(result.diagnostics).toMatchObject([{ code: 'trtexec-parser' }]);
  expect(result.diagnostics[0]!.message).toContain('While parsing node number 0 [TensorScatter -> ');
});

test.each([
  'timeout',
  'interrupted',
] as const)('it hangs and ignores being asked; so does its child: %s', async (how) => {
  const abort = new AbortController();
  const running = run({ fail: 'build:hang' }, how === 'timeout' ? { timeoutMs: 4000 } : { signal: abort.signal });
  for (let i = 0; i < 1000 && startedProcesses().length < 2; i++) await sleep(10);
  expect(startedProcesses()).toHaveLength(2);
  if (how === 'interrupted') abort.abort();
  const result = await running;
  if (how === 'timeout') {
    expect(result.diagnostics).toMatchObject([{ code: 'trtexec-timeout' }]);
    expect(result.diagnostics[0]!.message).toContain(
      'did not end within 4 seconds and was stopped while it was building',
    );
    expect(exitCodeOf(result.diagnostics)).toBe(4);
  } else {
    expect(result.diagnostics).toMatchObject([{ code: 'interrupted' }]);
    expect(exitCodeOf(result.diagnostics)).toBe(130);
  }
  await waitUntilGone(startedProcesses());
  expect(await readFile(log, 'utf8')).toContain('Finished parsing network model');
});

test('Ctrl-C in a slow build that ends when asked; nothing is started after one', async () => {
  const abort = new AbortController();
  const begin = performance.now();
  const result = await run(
    { buildMs: 30_000 },
    { signal: abort.signal, graceMs: 20_000, onProgress: (phase) => phase === 'building' && abort.abort() },
  );
  expect(result.diagnostics).toMatchObject([{ code: 'interrupted' }]);
  expect(performance.now() - begin).toBeLessThan(15_000);
  await rm(log);
  expect((await run({}, { signal: abort.signal })).diagnostics).toMatchObject([{ code: 'interrupted' }]);
  expect(existsSync(log)).toBe(false);
});

test('a child that trtexec leaves behind is ended; the build counts', async () => {
  const result = await run({ fail: 'build:child' });
  expect(result.ok, formatDiagnostics(result.diagnostics)).toBe(true);
  expect(startedProcesses()).toHaveLength(2);
  await waitUntilGone(startedProcesses());
});

test('a child that left the group, and holds the output, keeps nobody waiting', async () => {
  const result = await run({ fail: 'build:escaped-child' });
  const [, child] = startedProcesses();
  process.kill(child!, 'SIGKILL');
  expect(result.ok, formatDiagnostics(result.diagnostics)).toBe(true);
});

test('a log that cannot be opened is told before anything runs; one that cannot be written is a warning', async () => {
  const unopened = await run({}, { log: join(folder, 'no', 'such.log') });
  expect(unopened.diagnostics).toMatchObject([{ code: 'bad-path' }]);
  expect(existsSync(pids)).toBe(false);
  await symlink('/dev/full', join(folder, 'full.log'));
  const unwritten = await run({}, { log: join(folder, 'full.log') });
  expect(unwritten.ok).toBe(true);
  expect(unwritten.diagnostics).toMatchObject([{ severity: 'warning', code: 'disk-full' }]);
});

test('a timing cache of the same build is enough for one that may not measure; another is not', async () => {
  const strict = [...buildArgs, '--errorOnTimingCacheMiss'];
  const first = await run({}, {}, strict);
  expect(first.diagnostics).toMatchObject([{ code: 'trtexec-timing-cache' }]);
  expect((await run({})).ok).toBe(true);
  expect((await run({}, {}, strict)).ok).toBe(true);
  expect((await run({ computeCapability: '8.0' }, {}, strict)).diagnostics).toMatchObject([
    { code: 'trtexec-timing-cache' },
  ]);
});

describe('an engine is run', () => {
  const runArgs = ['--loadEngine=step.all.plan.partial', '--useProfile=0', '--iterations=3'];

  test('outputs and times of what the graph computes', async () => {
    expect((await run({})).ok).toBe(true);
    await writeFile(join(folder, 'x.bin'), new Uint8Array(Float32Array.of(1, 2, 3, 4, -5, 6).buffer));
    const phases: string[] = [];
    const args = [
      ...runArgs,
      '--shapes=x:2x3',
      '--loadInputs=x:x.bin',
      '--exportOutput=y.json',
      '--exportTimes=times.json',
    ];
    const result = await run({ computeMs: 0.5 }, { onProgress: (phase) => phases.push(phase) }, args);
    expect(result.ok && result.value.performance?.throughput).toBe(2000);
    expect(result.ok && result.value.performance?.gpuCompute).toMatchObject({
      min: 0.5,
      median: 0.5,
      percentiles: { 99: 0.5 },
    });
    expect(phases).toEqual(['starting', 'loading', 'running', 'finished']);
    // 1 + max(0, x · w)
    expect(await readFile(join(folder, 'y.json'), 'utf8')).toContain('"values" : [ 1, 16, 1, 11 ]');
  });

  test.each([
    [
      'another version',
      { version: '11.0.0' },
      [],
      'trtexec-other-engine',
      'another version of TensorRT than that of trtexec, 11.0.0',
    ],
    [
      'another GPU',
      { computeCapability: '8.0' },
      [],
      'trtexec-other-engine',
      'compute capability 9.0; this one has 8.0',
    ],
    ['sizes beyond the profile', {}, ['--shapes=x:5x3'], 'trtexec-shapes', 'not built for these sizes'],
    ['a profile that it has not', {}, ['--useProfile=1'], 'trtexec-shapes', 'exceeds the number of profiles'],
    [
      'a file of another size',
      {},
      ['--loadInputs=x:step.onnx'],
      'trtexec-failed',
      'Unexpected file size for input file: step.onnx',
    ],
    ['a file for no input', {}, ['--loadInputs=q:step.onnx'], 'trtexec-shapes', '"q", which is no input'],
    [
      'a crash',
      { fail: 'run:crash' as const },
      [],
      'trtexec-crashed',
      'crashed while it was loading the engine (SIGSEGV)',
    ],
    [
      'a full GPU',
      { fail: 'run:out-of-memory' as const },
      [],
      'trtexec-out-of-memory',
      'to run the engine (9.2 GiB were asked for)',
    ],
  ])('%s is told', async (_, settings, extra, code, message) => {
    expect((await run({})).ok).toBe(true);
    const args = [...runArgs.filter((arg) => !extra.some((other) => other.startsWith(arg.split('=')[0]!))), ...extra];
    const result = await run(settings, {}, args);
    expect(result, formatDiagnostics(result.diagnostics)).toMatchObject({ ok: false, diagnostics: [{ code }] });
    expect(result.diagnostics[0]!.message).toContain(message);
  });

  test('a file that is no engine, and one that is not there', async () => {
    await writeFile(join(folder, 'step.all.plan.partial'), 'ftrt');
    expect((await run({}, {}, runArgs)).diagnostics).toMatchObject([
      { code: 'trtexec-other-engine', hint: expect.stringContaining('Build it again.') },
    ]);
    await rm(join(folder, 'step.all.plan.partial'));
    expect((await run({}, {}, runArgs)).diagnostics).toMatchObject([
      { code: 'trtexec-failed', message: expect.stringContaining('cannot read the engine') },
    ]);
  });

  test('one that never ends', async () => {
    expect((await run({})).ok).toBe(true);
    const result = await run({ fail: 'run:hang' }, { timeoutMs: 1000 }, runArgs);
    expect(result.diagnostics).toMatchObject([{ code: 'trtexec-timeout' }]);
  });
});
