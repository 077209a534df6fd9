import { describe, expect, test } from 'vitest';
import { splitArgument } from '../../targets/tensorrt/trtexec/arguments.ts';
import type { BuildSettings } from '../../targets/tensorrt/trtexec/build-job.ts';
import { refusalOf, trtexecFlags } from '../../targets/tensorrt/trtexec/flags.ts';
import { settingsProblems } from '../../targets/tensorrt/trtexec/settings-problems.ts';
import { formatVersion, type TensorrtVersion } from '../../targets/tensorrt/versions.ts';
import { hasFlag, readTrtexecCommandLine } from '../support/trtexec-command-line.ts';
import { observed, observedVersions } from './flags-observed.ts';

const plain: BuildSettings = {
  tf32: false,
  versionCompatible: false,
  stripWeights: false,
  weightStreaming: false,
  errorOnTimingCacheMiss: false,
  extra: [],
};

describe('what trtexec was seen to accept', () => {
  test.each(
    observedVersions.map((version, column) => [formatVersion(version), version, column] as const),
  )('%s: the reader of command lines agrees', (_, version, column) => {
    const accepted = (args: readonly string[]) => readTrtexecCommandLine(['--onnx=m', ...args], version).ok;
    const read = observed.map(({ args }) => `${args.join(' ')}: ${accepted(args)}`);
    expect(read).toEqual(observed.map(({ args, accepted: cells }) => `${args.join(' ')}: ${cells[column]}`));
  });

  test.each(
    observedVersions.flatMap((version, column) =>
      version.major < 10 ? [] : [[formatVersion(version), version, column] as const],
    ),
  )('%s: the table agrees', (_, version, column) => {
    // Alone: what two flags say together is no matter of the table.
    const single = observed.filter(({ args }) => args.length === 1);
    const taken = single.map(({ args }) => {
      const [flag, value] = splitArgument(args[0]!);
      return `${args}: ${refusalOf(flag, value, version) === undefined}`;
    });
    expect(taken).toEqual(single.map(({ args, accepted }) => `${args}: ${accepted[column]}`));
    expect(single.every(({ args }) => splitArgument(args[0]!)[0] in trtexecFlags)).toBe(true);
  });
});

test('two lists of flags, written down apart, agree on every release from 10.0 on', () => {
  const releases: readonly TensorrtVersion[] = [
    ...Array.from({ length: 17 }, (_, minor) => ({ major: 10, minor })),
    ...Array.from({ length: 4 }, (_, minor) => ({ major: 11, minor })),
  ];
  // The table has it from 10.13 on, as it means nothing without another flag, which is refused.
  const flags = Object.keys(trtexecFlags).filter((flag) => flag !== '--consistency' && flag !== '--help');
  for (const version of releases) {
    const value = version.major < 11 ? 'a:b' : 'a';
    const taken = flags.filter((flag) => refusalOf(flag, value, version) === undefined);
    expect([formatVersion(version), ...taken]).toEqual([
      formatVersion(version),
      ...flags.filter((flag) => hasFlag(flag.slice(2), version)),
    ]);
  }
});

describe('what stands behind --', () => {
  const told = (extra: readonly string[], version: TensorrtVersion = { major: 11, minor: 1 }, more = {}) =>
    settingsProblems({ ...plain, ...more, extra }, version).map(({ severity, message, hint }) =>
      [severity, message, hint].filter(Boolean).join(' '),
    );

  test.each([
    ['--maxTactics=3', '--refit', '--staticPlugins=a.so', '--staticPlugins=b.so', '--memPoolSize=tacticSharedMem:48K'],
    ['--profilingVerbosity=none', '--verbose', '--device=1', '--sparsity=enable', '--leanDLLPath=a=b'],
  ])('passes: %s', (...extra) => {
    expect(told(extra)).toEqual([]);
  });

  test.each([
    ['--fp16', 'error "--fp16" is not for passing through. Types are in the graph: compile with --precision.'],
    ['--onnx=other.onnx', 'error "--onnx" is not for passing through. The graph is that of the package.'],
    [
      '--optShapes=x:1',
      'error "--optShapes" is not for passing through. Sizes come from the policy: --max-rows, --max-context, --prefill-chunk.',
    ],
    [
      '--loadEngine=x',
      'error "--loadEngine" is not for passing through. trtexec is called to build engines; call it yourself for anything else.',
    ],
    ['--vc', 'error "--vc" has an option of rtc, which rtc.json tells of. Use --version-compatible.'],
    ['--noTF32', 'error "--noTF32" has an option of rtc, which rtc.json tells of. It is given unless --allow-tf32 is.'],
    [
      '--refit=0',
      'error "--refit" takes no value: trtexec does not look at it, so that "--refit=0" turns it on. Leave it out.',
    ],
    [
      '--verbose=yes',
      'error "--verbose" takes no value: trtexec does not look at it, so that "--verbose=yes" turns it on. Write --verbose.',
    ],
    ['--maxTactics', 'error "--maxTactics" has no value. Write --maxTactics=VALUE.'],
    ['--useRuntime=lean', 'error Engines are built by the full runtime, not by "lean". Leave it out.'],
    [
      '--weightStreamingBudget=20M',
      'error "--weightStreamingBudget" is for engines that stream weights. Add --weight-streaming.',
    ],
    [
      '-h',
      'error trtexec would print its help and build nothing. trtexec is called to build engines; call it yourself for anything else.',
    ],
    [
      '--help',
      'error "--help" is not for passing through. trtexec is called to build engines; call it yourself for anything else.',
    ],
    ['-v', 'error "-v" is no flag: those of trtexec begin with two dashes. Write --flag=value.'],
    ['refit', 'error "refit" is no flag: those of trtexec begin with two dashes. Write --refit.'],
    ['foo', 'error "foo" is no flag: those of trtexec begin with two dashes. Write --flag=value.'],
    ['--foo', 'warning No trtexec up to 11.1 has "--foo"; it is passed on as it is.'],
    ['--fp61=1', 'warning No trtexec up to 11.1 has "--fp61"; it is passed on as it is.'],
    [
      '--memPoolSize=workspace:1X',
      'error "workspace:1X" is no value for --memPoolSize. Give pools and sizes, with B, K, M or G behind each: workspace:4G,tacticSharedMem:48K.',
    ],
    ['--maxTactics=many', 'error "many" is no value for --maxTactics. Give a whole number.'],
    ['--tilingOptimizationLevel=9', 'error "9" is no value for --tilingOptimizationLevel. Give a level from 0 to 3.'],
    ['--refti', 'warning No trtexec up to 11.1 has "--refti"; it is passed on as it is. Did you mean "--refit"?'],
    ['--ofTheFuture=1', 'warning No trtexec up to 11.1 has "--ofTheFuture"; it is passed on as it is.'],
  ])('%s', (argument, message) => {
    expect(told([argument])).toEqual([message]);
  });

  test('a budget that is no size', () => {
    expect(told(['--weightStreamingBudget=1X'], undefined, { weightStreaming: true })).toEqual([
      'error "1X" is no value for --weightStreamingBudget. Give a size with B, K, M or G behind it, a percentage, or -1 or -2.',
    ]);
    expect(told(['--weightStreamingBudget=20M'], undefined, { weightStreaming: true })).toEqual([]);
  });

  test('twice, and apart from its value', () => {
    expect(told(['--maxTactics=3', '--maxTactics=4'])).toEqual([
      'error "--maxTactics" is given twice, which trtexec refuses. Give it once.',
    ]);
    expect(told(['--maxTactics', '3'])).toEqual([
      'error "--maxTactics" has no value. Write --maxTactics=VALUE.',
      'error "3" is no flag: those of trtexec begin with two dashes. Write --maxTactics=3.',
    ]);
    expect(told(['--memPoolSize=tacticSharedMem:48K'], undefined, { workspace: '4G' })).toEqual([
      'error "--memPoolSize" is given for the workspace already. Name all pools in one list, and leave out --workspace.',
    ]);
    const attending = settingsProblems(
      { ...plain, extra: ['--decomposableAttentions=a'] },
      { major: 11, minor: 1 },
      { attentions: true },
    );
    expect(attending.map(({ message }) => message)).toEqual([
      '"--decomposableAttentions" is given with the names of all Attention nodes already.',
    ]);
  });

  test.each([
    ['10.3', '--maxTactics=3', 'TensorRT 10.3 has no --maxTactics: it came with 10.4.'],
    ['10.4', '--maxTactics=3', undefined],
    ['10.13', '--enablePluginOverride', 'TensorRT 10.13 has no --enablePluginOverride: it came with 10.15.'],
    ['11.0', '--weightless', 'TensorRT 11.0 has no --weightless: it went with 11.0.'],
    ['11.0', '--setBuildRoute=x', 'TensorRT 11.0 has no --setBuildRoute: it came with 11.1.'],
    ['11.3', '--setBuildRoute=x', undefined],
    ['10.16', '--workspace=100', 'TensorRT 10.16 has no --workspace: it went with 10.0.'],
    [
      '10.2',
      '--preview=-aliasedPluginIO1003',
      'TensorRT 10.2 has no --preview=aliasedPluginIO1003: it came with 10.3.',
    ],
    [
      '11.0',
      '--tacticSources=+JIT_CONVOLUTIONS,-cudnn',
      'TensorRT 11.0 has no --tacticSources=CUDNN: it went with 11.0.',
    ],
  ])('%s %s', (version, argument, message) => {
    const [major, minor] = version.split('.').map(Number) as [number, number];
    expect(told([argument], { major, minor })).toEqual(message === undefined ? [] : [`error ${message}`]);
  });
});

test('settings that no version takes, and those that one lacks', () => {
  const problems = settingsProblems(
    { ...plain, optimizationLevel: 6, workspace: '4', hardwareCompatibility: 'sameComputeCapability' },
    { major: 10, minor: 8 },
  );
  expect(problems.map(({ option, message }) => `${option}: ${message}`)).toEqual([
    'optimizationLevel: The optimisation level 6 is none from 0 to 5.',
    'workspace: The workspace "4" is no size with a unit.',
    'hardwareCompatibility: TensorRT 10.8 has no --hardwareCompatibilityLevel=sameComputeCapability: it came with 10.9.',
  ]);
  expect(
    settingsProblems({ ...plain, hardwareCompatibility: 'sameComputeCapability' }, { major: 10, minor: 9 }),
  ).toEqual([]);
});
