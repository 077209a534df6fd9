import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { EnginePlan } from '../../targets/tensorrt/engine-plan.ts';
import { planEngines } from '../../targets/tensorrt/profiles/plan-engines.ts';
import { buildArguments, settingsProblems } from '../../targets/tensorrt/trtexec/build-arguments.ts';
import type { BuildJob, BuildSettings } from '../../targets/tensorrt/trtexec/build-job.ts';
import { runArguments } from '../../targets/tensorrt/trtexec/run-arguments.ts';
import { atLeast, type TensorrtVersion } from '../../targets/tensorrt/versions.ts';
import { readTrtexecCommandLine } from '../support/trtexec-command-line.ts';
import { plannedCases } from './profiles-graphs.ts';

const plain: BuildSettings = {
  tf32: false,
  versionCompatible: false,
  stripWeights: false,
  weightStreaming: false,
  errorOnTimingCacheMiss: false,
  extra: [],
};

const versions: readonly TensorrtVersion[] = [
  { major: 10, minor: 0, patch: 1 },
  { major: 10, minor: 4 },
  { major: 10, minor: 12 },
  { major: 10, minor: 14 },
  { major: 10, minor: 16, patch: 0 },
  { major: 11, minor: 0 },
  { major: 11, minor: 1 },
  // Later than anything that was looked at.
  { major: 11, minor: 3 },
];

/** What people put behind `--`; versions that lack it are told so, and get it from nobody. */
const extras = fc.subarray(
  [
    '--verbose',
    '--maxTactics=3',
    '--tilingOptimizationLevel=1',
    '--monitorMemory',
    '--refit',
    '--staticPlugins=a.so',
    '--staticPlugins=b=c.so',
    '--preview=+aliasedPluginIO1003',
    '--tacticSources=-CUBLAS_LT',
    '--exportLayerInfo=layers.json',
    '--profilingVerbosity=layer_names_only',
    '--setBuildRoute=x',
    '--memPoolSize=tacticSharedMem:48K',
    '--weightless',
    '--fp16',
    '--streams=2',
    '--shapes=x:1',
    '--refit=0',
    'model.onnx',
    '--brandNewFlag=7',
  ],
  { maxLength: 6 },
);

const jobs = fc
  .record({
    planned: plannedCases,
    version: fc.constantFrom(...versions),
    settings: fc.record({
      tf32: fc.boolean(),
      optimizationLevel: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
      workspace: fc.option(fc.constantFrom('4G', '0.5G', '512M'), { nil: undefined }),
      versionCompatible: fc.boolean(),
      hardwareCompatibility: fc.constantFrom(
        undefined,
        'none' as const,
        'ampere+' as const,
        'sameComputeCapability' as const,
      ),
      stripWeights: fc.boolean(),
      weightStreaming: fc.boolean(),
      errorOnTimingCacheMiss: fc.boolean(),
      extra: fc.oneof(fc.constant<string[]>([]), extras),
    }),
    attentions: fc.uniqueArray(fc.constantFrom('/block/attn.0/Attention', 'a:b', 'n0', 'x y'), { maxLength: 3 }),
  })
  .map(({ planned, version, settings, attentions }) => ({
    engines: planEngines(planned),
    version,
    settings,
    // Attention is in graphs from 10.14 on.
    attentions: atLeast(version, 10, 14) ? attentions : [],
  }));

/** Every input of every profile that a job means, and nothing else. */
function meant({ profiles }: EnginePlan) {
  return profiles.map(({ inputs }) => inputs);
}

describe('arguments that build an engine', () => {
  test('are accepted by each version, and give back the shapes that were meant', () => {
    const outcomes = { built: 0, refused: 0, newest: 0 };
    fc.assert(
      fc.property(jobs, ({ engines, version, settings, attentions }) => {
        const problems = settingsProblems(settings, version, { attentions: attentions.length > 0 });
        const errors = problems.filter(({ severity }) => severity === 'error');
        for (const engine of engines) {
          const job: BuildJob = {
            version,
            engine,
            saveTo: `${engine.plan}.partial`,
            timingCache: 'timing.cache',
            settings: errors.length > 0 ? { ...plain, extra: [] } : settings,
            attentions,
          };
          const args = buildArguments(job);
          const unknown = problems.some(({ option }) => option === '--brandNewFlag=7') && errors.length === 0;
          const reading = readTrtexecCommandLine(
            args.filter((argument) => !unknown || argument !== '--brandNewFlag=7'),
            version,
          );
          if (!reading.ok) throw new Error(`${reading.reason}\n${args.join(' ')}`);
          const { commandLine } = reading;
          expect(commandLine.warnings).toEqual([]);
          expect(commandLine.profiles).toEqual(meant(engine));
          expect(commandLine.attentions).toEqual(attentions);
          const { flags } = commandLine;
          expect(flags.get('--onnx')).toBe(engine.graph);
          expect(flags.get('--saveEngine')).toBe(job.saveTo);
          expect(flags.get('--timingCacheFile')).toBe('timing.cache');
          expect(flags.has('--skipInference')).toBe(true);
          expect(flags.has('--stronglyTyped')).toBe(!atLeast(version, 11, 0));
          expect(flags.has('--noTF32')).toBe(!job.settings.tf32);
          // Types are in the graph, whatever the version would let one say.
          for (const flag of ['--fp16', '--bf16', '--int8', '--fp8', '--best']) expect(flags.has(flag)).toBe(false);
          // In the same words every time.
          expect(buildArguments(job)).toEqual(args);
          outcomes[errors.length > 0 ? 'refused' : 'built']++;
          if (version.minor === 3) outcomes.newest++;
        }
      }),
      { numRuns: 300 },
    );
    // Neither half of this is tested by accident alone.
    expect(outcomes.built).toBeGreaterThan(200);
    expect(outcomes.refused).toBeGreaterThan(50);
    expect(outcomes.newest).toBeGreaterThan(10);
  });

  test('what settingsProblems refuses, a version refuses or rtc does', () => {
    // The other way round: nothing is refused that all of it would have been fine.
    const contradicting = ['--fp16', '--shapes=x:1', '--refit=0'];
    fc.assert(
      fc.property(jobs, ({ version, settings, attentions }) => {
        const { extra } = settings;
        const errors = settingsProblems(settings, version, { attentions: attentions.length > 0 }).filter(
          ({ severity }) => severity === 'error',
        );
        const mine = errors.filter(({ option }) => extra.includes(option) && !contradicting.includes(option));
        for (const { option, message } of mine) {
          const pools = option.startsWith('--memPoolSize') && settings.workspace !== undefined;
          const alone = readTrtexecCommandLine(['--onnx=m', option], version);
          expect([alone.ok && !pools, message]).toEqual([false, message]);
        }
        for (const option of extra.filter((given) => contradicting.includes(given))) {
          expect(errors.map((problem) => problem.option)).toContain(option);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('of a step, as 10.16 and as 11.1 get them', () => {
    const engine: EnginePlan = {
      graph: 'step.onnx',
      plan: 'step.all.plan',
      profiles: [
        {
          name: 'decode',
          inputs: { input_ids: { min: [1, 1], opt: [16, 1], max: [16, 1] }, 'a:b': { min: [1], opt: [2], max: [3] } },
        },
        {
          name: 'prefill',
          inputs: { input_ids: { min: [1, 1], opt: [1, 128], max: [4, 128] }, 'a:b': { min: [1], opt: [1], max: [1] } },
        },
      ],
    };
    const job = {
      engine,
      saveTo: 'step.all.plan.partial',
      timingCache: 'timing.cache',
      attentions: ['block.attention'],
      settings: { ...plain, optimizationLevel: 4, workspace: '4G', extra: ['--verbose'] },
    };
    const of = (version: TensorrtVersion) => buildArguments({ ...job, version });
    expect(of({ major: 10, minor: 16 })).toEqual([
      '--onnx=step.onnx',
      '--saveEngine=step.all.plan.partial',
      '--profile=0',
      "--minShapes=input_ids:1x1,'a:b':1",
      "--optShapes=input_ids:16x1,'a:b':2",
      "--maxShapes=input_ids:16x1,'a:b':3",
      '--profile=1',
      "--minShapes=input_ids:1x1,'a:b':1",
      "--optShapes=input_ids:1x128,'a:b':1",
      "--maxShapes=input_ids:4x128,'a:b':1",
      '--stronglyTyped',
      '--decomposableAttentions=block.attention',
      '--skipInference',
      '--timingCacheFile=timing.cache',
      '--noTF32',
      '--builderOptimizationLevel=4',
      '--memPoolSize=workspace:4G',
      '--profilingVerbosity=detailed',
      '--verbose',
    ]);
    expect(of({ major: 11, minor: 1 })).toEqual(
      of({ major: 10, minor: 16 }).filter((flag) => flag !== '--stronglyTyped'),
    );
    // A script that was written for an older version is run by a later one.
    expect(readTrtexecCommandLine(of({ major: 10, minor: 16 }), { major: 11, minor: 1 }).ok).toBe(true);
    expect(() => of({ major: 10, minor: 12 })).toThrow(
      'TensorRT 10.12 has no --decomposableAttentions: it came with 10.14',
    );
    for (const name of ['a,b', "a'b", 'a"b', 'a*', '']) {
      expect(() => buildArguments({ ...job, version: { major: 11, minor: 1 }, attentions: [name] })).toThrow(
        'nodes have names that trtexec can be told',
      );
    }
  });

  test('of a graph without sizes to choose name no shapes', () => {
    const engine: EnginePlan = { graph: 'm.onnx', plan: 'm.all.plan', profiles: [{ name: 'decode', inputs: {} }] };
    const args = buildArguments({
      version: { major: 11, minor: 1 },
      engine,
      saveTo: 'x',
      timingCache: 't',
      settings: plain,
      attentions: [],
    });
    expect(args.some((argument) => /Shapes|profile=/.test(argument))).toBe(false);
  });

  test('8.6.1 is too old for any', () => {
    expect(settingsProblems(plain, { major: 8, minor: 6, patch: 1 })).toEqual([
      {
        severity: 'error',
        option: 'tensorrtVersion',
        message: 'TensorRT 8.6.1 is older than 10.0, the first whose networks keep the types of their graph.',
        hint: 'Use TensorRT 10.0 or later.',
      },
    ]);
  });
});

describe('arguments that run an engine', () => {
  const shapes = fc.dictionary(
    fc.constantFrom('input_ids', 'key_pages.0', 'a:b', 'page_table.1', 'rank0', 'x/y z'),
    fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { maxLength: 4 }),
    { minKeys: 1 },
  );
  const runs = fc.record({
    version: fc.constantFrom(...versions),
    plan: fc.constantFrom('step.all.plan', '/tmp/a b/step.decode.plan', 'C=1.plan'),
    profile: fc.integer({ min: 0, max: 7 }),
    shapes,
    loadInputs: fc.dictionary(
      fc.constantFrom('input_ids', 'a:b', 'key_pages.0'),
      fc.constantFrom('input-0.bin', '/tmp/x/input-1.bin', 'c:\\in.bin'),
    ),
    exportOutput: fc.option(fc.constant('out.json'), { nil: undefined }),
    exportTimes: fc.option(fc.constant('times.json'), { nil: undefined }),
    iterations: fc.option(fc.integer({ min: 1, max: 99 }), { nil: undefined }),
    warmUp: fc.option(fc.integer({ min: 0, max: 500 }), { nil: undefined }),
    duration: fc.option(fc.constantFrom(0, 1, 0.5), { nil: undefined }),
    versionCompatible: fc.boolean(),
  });

  test('are accepted by each version, and say what was meant', () => {
    fc.assert(
      fc.property(runs, (job) => {
        const args = runArguments(job);
        const reading = readTrtexecCommandLine(args, job.version);
        if (!reading.ok) throw new Error(`${reading.reason}\n${args.join(' ')}`);
        const { flags, ...read } = reading.commandLine;
        expect(read.shapes).toEqual({ ...job.shapes });
        expect(read.loadInputs).toEqual({ ...job.loadInputs });
        expect(read.useProfile).toBe(job.profile);
        expect(read.warnings).toEqual([]);
        const told = ['iterations', 'warmUp', 'duration', 'exportOutput', 'exportTimes'] as const;
        expect(told.map((name) => flags.get(`--${name}`))).toEqual(told.map((name) => job[name]));
        expect([flags.get('--loadEngine'), flags.has('--versionCompatible')]).toEqual([
          job.plan,
          job.versionCompatible,
        ]);
      }),
      { numRuns: 300 },
    );
  });

  test('time the same thing in all versions', () => {
    // trtexec's own defaults, which 11.0 turned round.
    const means = (version: TensorrtVersion) => {
      const reading = readTrtexecCommandLine(
        runArguments({ version, plan: 'p', profile: 0, shapes: { x: [1] } }),
        version,
      );
      if (!reading.ok) throw new Error(reading.reason);
      const { flags } = reading.commandLine;
      return version.major < 11
        ? {
            transfers: !flags.has('--noDataTransfers'),
            graph: flags.has('--useCudaGraph'),
            spin: flags.has('--useSpinWait'),
          }
        : {
            transfers: flags.has('--includeDataTransfers'),
            graph: !flags.has('--noCudaGraph'),
            spin: !flags.has('--noSpinWait'),
          };
    };
    expect(new Set(versions.map((version) => JSON.stringify(means(version))))).toEqual(
      new Set(['{"transfers":false,"graph":true,"spin":true}']),
    );
    // From 11.0 on, flags that mean the default are deprecated, and each is warned of.
    expect(runArguments({ version: { major: 11, minor: 0 }, plan: 'p', profile: 1, shapes: { x: [1] } })).toEqual([
      '--loadEngine=p',
      '--useProfile=1',
      '--shapes=x:1',
    ]);
  });
});
