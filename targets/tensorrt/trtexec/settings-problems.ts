import { nearest } from '../../../files/did-you-mean.ts';
import { atLeast, formatVersion, newestVersion, oldestVersion, type TensorrtVersion } from '../versions.ts';
import { flagsOf, splitArgument } from './arguments.ts';
import type { BuildSettings } from './build-job.ts';
import { refusalOf, trtexecFlags } from './flags.ts';
import { settingArguments } from './setting-arguments.ts';

/** What is wrong with a setting, or with an argument that is passed through. */
export interface SettingsProblem {
  /** `warning`: trtexec may take it all the same. */
  readonly severity: 'error' | 'warning';
  /** The setting, or the argument as it was given. */
  readonly option: string;
  readonly message: string;
  /** The next step, if there is one to name. */
  readonly hint?: string;
}

const precision = 'Types are in the graph: compile with --precision.';
const shapes = 'Sizes come from the policy: --max-rows, --max-context, --prefill-chunk.';
const build = 'trtexec is called to build engines; call it yourself for anything else.';

/** Flags that rtc sets itself, or that would make of the engine another than rtc.json says. */
const ours: Readonly<Record<string, string>> = {
  '--onnx': 'The graph is that of the package.',
  '--saveEngine': 'Engines take their names when they are whole.',
  '--skipInference': 'It is given already.',
  '--profile': shapes,
  '--minShapes': shapes,
  '--optShapes': shapes,
  '--maxShapes': shapes,
  '--shapes': shapes,
  '--useProfile': shapes,
  '--timingCacheFile': 'Use --timing-cache.',
  '--noBuilderCache': 'Engines are built with a timing cache.',
  '--stronglyTyped': 'It is given wherever it means something.',
  '--fp16': precision,
  '--bf16': precision,
  '--fp8': precision,
  '--int8': precision,
  '--int4': precision,
  '--best': precision,
  '--layerPrecisions': precision,
  '--layerOutputTypes': precision,
  '--precisionConstraints': precision,
  '--calib': precision,
  '--calibProfile': precision,
  '--minShapesCalib': precision,
  '--optShapesCalib': precision,
  '--maxShapesCalib': precision,
  '--inputIOFormats': 'Inputs are as rtc.json says, with the layout of their graph.',
  '--outputIOFormats': 'Outputs are as rtc.json says, with the layout of their graph.',
  '--safe': build,
  '--buildDLAStandalone': build,
  '--loadEngine': build,
  '--refitFromOnnx': build,
  '--getPlanVersionOnly': build,
  '--dryRun': build,
  '--help': build,
  '--helpBuildRoute': build,
  '--loadInputs': 'Use rtc verify --engine to run an engine.',
  '--loadRefOutputs': 'Use rtc verify --engine to compare what an engine computes.',
  '--refPair': 'Use rtc verify --engine to compare what an engine computes.',
};

/** Settings by the flags that say the same; another name of a flag counts as that flag. */
const settingOf: Readonly<Record<string, { readonly setting: keyof BuildSettings; readonly hint: string }>> = {
  '--noTF32': { setting: 'tf32', hint: 'It is given unless --allow-tf32 is.' },
  '--errorOnTimingCacheMiss': { setting: 'errorOnTimingCacheMiss', hint: 'Use --error-on-timing-cache-miss.' },
  '--builderOptimizationLevel': { setting: 'optimizationLevel', hint: 'Use --optimization-level.' },
  '--versionCompatible': { setting: 'versionCompatible', hint: 'Use --version-compatible.' },
  '--vc': { setting: 'versionCompatible', hint: 'Use --version-compatible.' },
  '--hardwareCompatibilityLevel': { setting: 'hardwareCompatibility', hint: 'Use --hardware-compatibility.' },
  '--stripWeights': { setting: 'stripWeights', hint: 'Use --strip-weights.' },
  '--allowWeightStreaming': { setting: 'weightStreaming', hint: 'Use --weight-streaming.' },
  '--stripAllWeights': {
    setting: 'stripWeights',
    hint: 'Use --strip-weights, and -- --refit if weights are to change.',
  },
};

/** What the value of a flag can be, in words and as a test. */
interface ValueRule {
  readonly expected: string;
  readonly holds: (value: string) => boolean;
}

const size = String.raw`\d+(\.\d+)?`;
const wholeNumber: ValueRule = { expected: 'a whole number', holds: (value) => /^-?\d+$/.test(value) };
const oneOf = (...words: readonly string[]): ValueRule => ({
  expected: `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`,
  holds: (value) => words.includes(value),
});

/** Values that no version takes are told before anything is built; what is not here goes on as it is. */
const valueRules: Readonly<Record<string, ValueRule>> = {
  '--memPoolSize': {
    expected: 'pools and sizes, with B, K, M or G behind each: workspace:4G,tacticSharedMem:48K',
    holds: (value) => value.split(',').every((pool) => new RegExp(`^[A-Za-z]\\w*:${size}[BKMG]?$`, 'i').test(pool)),
  },
  '--weightStreamingBudget': {
    expected: 'a size with B, K, M or G behind it, a percentage, or -1 or -2',
    holds: (value) => value === '-1' || value === '-2' || new RegExp(`^${size}[BKMG%]?$`, 'i').test(value),
  },
  '--maxAuxStreams': wholeNumber,
  '--maxTactics': wholeNumber,
  '--avgTiming': wholeNumber,
  '--device': { expected: 'a whole number from 0 on', holds: (value) => /^\d+$/.test(value) },
  '--useDLACore': wholeNumber,
  '--tilingOptimizationLevel': { expected: 'a level from 0 to 3', holds: (value) => /^[0-3]$/.test(value) },
  '--l2LimitForTiling': wholeNumber,
  '--sparsity': oneOf('enable', 'disable', 'force'),
};

/**
 * Everything about settings that a version of trtexec would refuse or misread, and everything in `extra` that rtc must
 * refuse: what contradicts rtc.json, or would not build an engine. A flag that no known version has passes with a
 * warning, as later ones may.
 * @param attentions whether names of Attention nodes are handed over; a list of one's own is then one too many
 */
export function settingsProblems(
  settings: BuildSettings,
  version: TensorrtVersion,
  { attentions = false }: { readonly attentions?: boolean } = {},
): readonly SettingsProblem[] {
  const problems: SettingsProblem[] = [];
  const error = (option: string, message: string, hint?: string) =>
    problems.push({ severity: 'error', option, message, ...(hint === undefined ? {} : { hint }) });
  if (!atLeast(version, oldestVersion.major, oldestVersion.minor)) {
    const message = `TensorRT ${formatVersion(version)} is older than ${formatVersion(oldestVersion)}, the first whose networks keep the types of their graph.`;
    error('tensorrtVersion', message, `Use TensorRT ${formatVersion(oldestVersion)} or later.`);
    return problems;
  }
  const { optimizationLevel, workspace, hardwareCompatibility } = settings;
  if (optimizationLevel !== undefined && !(Number.isInteger(optimizationLevel) && between(optimizationLevel, 0, 5))) {
    error('optimizationLevel', `The optimisation level ${optimizationLevel} is none from 0 to 5.`);
  }
  if (workspace !== undefined && !isMemorySize(workspace)) {
    error('workspace', `The workspace "${workspace}" is no size with a unit.`, 'Write B, K, M or G behind it: 4G.');
  }
  if (hardwareCompatibility !== undefined) {
    const refusal = refusalOf('--hardwareCompatibilityLevel', hardwareCompatibility, version);
    if (refusal !== undefined) error('hardwareCompatibility', `${refusal}.`);
  }
  problems.push(...extraProblems(settings, version, attentions));
  return problems;
}

/** trtexec's way to say how much memory: `4G`, `0.5G`. Without a unit it would be MiB, which nobody expects. */
export function isMemorySize(text: string): boolean {
  // Numbers of trtexec end where 32 bits or its doubles do; nine digits are within both.
  return /^\d{1,9}(\.\d{1,6})?[BKMG]$/.test(text) && Number.parseFloat(text) > 0;
}

function extraProblems(
  settings: BuildSettings,
  version: TensorrtVersion,
  attentions: boolean,
): readonly SettingsProblem[] {
  const { extra } = settings;
  const given = new Set(flagsOf(settingArguments(settings)));
  const seen = new Set<string>();
  return extra.flatMap((argument, place): readonly SettingsProblem[] => {
    const error = (message: string, hint?: string): readonly SettingsProblem[] => [
      { severity: 'error', option: argument, message, ...(hint === undefined ? {} : { hint }) },
    ];
    if (argument.includes('\0')) return error('An argument cannot have a NUL character in it.');
    if (argument === '-h') return error('trtexec would print its help and build nothing.', build);
    if (!/^--[A-Za-z]/.test(argument)) {
      const before = extra[place - 1];
      const joined = before?.startsWith('--') && !before.includes('=') ? `${before}=${argument}` : '--flag=value';
      const meant = trtexecFlags[`--${splitArgument(argument)[0]}`];
      const hint =
        meant && joined === '--flag=value'
          ? `--${argument}${meant.value === 'required' && !argument.includes('=') ? '=VALUE' : ''}`
          : joined;
      return error(`"${argument}" is no flag: those of trtexec begin with two dashes.`, `Write ${hint}.`);
    }
    const [flag, value] = splitArgument(argument);
    const known = trtexecFlags[flag];
    const twice = seen.has(flag) && !known?.repeats;
    seen.add(flag);
    if (twice) return error(`"${flag}" is given twice, which trtexec refuses.`, 'Give it once.');
    if (Object.hasOwn(ours, flag)) return error(`"${flag}" is not for passing through.`, ours[flag]);
    const setting = Object.hasOwn(settingOf, flag) ? settingOf[flag] : undefined;
    if (setting) return error(`"${flag}" has an option of rtc, which rtc.json tells of.`, setting.hint);
    if (given.has(flag)) {
      // Only memory is left: the others have options, and are refused above.
      return error(
        `"${flag}" is given for the workspace already.`,
        'Name all pools in one list, and leave out --workspace.',
      );
    }
    if (flag === '--decomposableAttentions' && attentions) {
      return error(`"${flag}" is given with the names of all Attention nodes already.`);
    }
    const refusal = refusalOf(flag, value, version);
    if (refusal !== undefined) return error(`${refusal}.`);
    if (!known) return [unknownFlag(argument, flag, version)];
    if (known.value === 'none' && argument.includes('=')) {
      const message = `"${flag}" takes no value: trtexec does not look at it, so that "${argument}" turns it on.`;
      return error(message, value === '0' || value === 'false' ? 'Leave it out.' : `Write ${flag}.`);
    }
    if (known.value === 'required' && value === '') {
      return error(`"${flag}" has no value.`, `Write ${flag}=VALUE.`);
    }
    const rule = Object.hasOwn(valueRules, flag) ? valueRules[flag] : undefined;
    if (rule && !rule.holds(value)) return error(`"${value}" is no value for ${flag}.`, `Give ${rule.expected}.`);
    if (flag === '--useRuntime' && value !== 'full') {
      return error(`Engines are built by the full runtime, not by "${value}".`, 'Leave it out.');
    }
    if (flag === '--weightStreamingBudget' && !settings.weightStreaming) {
      return error(`"${flag}" is for engines that stream weights.`, 'Add --weight-streaming.');
    }
    return [];
  });
}

function unknownFlag(argument: string, flag: string, version: TensorrtVersion): SettingsProblem {
  const refused = (name: string) =>
    Object.hasOwn(ours, name) || Object.hasOwn(settingOf, name) || refusalOf(name, '', version) !== undefined;
  const names = Object.keys(trtexecFlags).filter((name) => !refused(name));
  // Dashes, which all have, make no name like another.
  const near = nearest(
    flag.slice(2),
    names.map((name) => name.slice(2)),
  );
  return {
    severity: 'warning',
    option: argument,
    message: `No trtexec up to ${formatVersion(newestVersion)} has "${flag}"; it is passed on as it is.${near === undefined ? '' : ` Did you mean "--${near}"?`}`,
  };
}

function between(n: number, least: number, most: number): boolean {
  return n >= least && n <= most;
}
