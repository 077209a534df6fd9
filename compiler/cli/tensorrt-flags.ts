import { type Command, Option } from 'commander';
import { isMemorySize } from '../../targets/tensorrt/trtexec/settings-problems.ts';
import type { CompileOptions } from '../compile-options.ts';
import {
  areShares,
  isSha256,
  isVersion,
  memorySizeExpected,
  numberRules,
  sha256Expected,
  sharesExpected,
  versionExpected,
} from '../tensorrt/option-problems.ts';
import type { TensorrtOptions } from '../tensorrt/tensorrt-options.ts';
import { number, oneOf } from './option-values.ts';
import { UsageError } from './usage-error.ts';

/** Flags of the target tensorrt as commander hands them over. */
export type TensorrtFlags = Omit<TensorrtOptions, 'tf32' | 'hardwareCompatibility' | 'trtexecArguments'> & {
  readonly allowTf32?: true;
  readonly hardwareCompatibility?: 'none' | 'ampere+' | 'same-compute-capability';
  /** Prints why profiles are as they are; no option of `compile`, which tells it anyway. */
  readonly explain?: true;
};

const heading = 'Target tensorrt:';

const sized = (flags: string, description: string, rule: keyof typeof numberRules) => {
  const { expected, holds } = numberRules[rule];
  return option(flags, description).argParser(number(flags.split(' ')[0]!, expected, holds));
};

const options: readonly Option[] = [
  option('--tensorrt-version <version>', "version to write for (default: trtexec's, else 10.16)").argParser(
    checked('--tensorrt-version', isVersion, versionExpected),
  ),
  option('--trtexec <path>', 'trtexec (default: TRTEXEC, PATH, and the usual places)'),
  // `build` is true unless this is given.
  option('--no-build', 'write everything but engines; build.sh makes them where the GPU is'),
  sized('--max-rows <n>', 'rows of a step (default: 16)', 'maxRows'),
  sized('--max-context <n>', "positions of a sequence (default: the model's, at most 4096)", 'maxContext'),
  sized('--prefill-chunk <n>', 'prompt tokens of a row in one step (default: 128)', 'prefillChunk'),
  option('--exit-shares <list>', 'share of tokens that leave behind each loop, such as 0.8,0.2').argParser(shares),
  sized('--mean-loops <x>', 'loops of a token on average, instead of shares (default: all)', 'meanLoops'),
  option('--separate-engines', 'an engine for each profile, with the weights in each, instead of one with all'),
  option('--explain', 'print why profiles are as they are'),
  option('--attention <how>', 'auto (default), native (from 10.14 on), or parts').argParser(
    oneOf('--attention', ['auto', 'native', 'parts']),
  ),
  option('--allow-tf32', 'let products of f32 lose 13 bits in TF32'),
  sized('--optimization-level <n>', "0 to 5 (default: trtexec's, 3)", 'optimizationLevel'),
  option('--workspace <size>', 'most memory that a layer may work in, such as 4G').argParser(
    checked('--workspace', isMemorySize, memorySizeExpected),
  ),
  option('--version-compatible', 'engines that later versions of TensorRT load, too'),
  option('--hardware-compatibility <how>', 'none (default), ampere+ or same-compute-capability').argParser(
    oneOf('--hardware-compatibility', ['none', 'ampere+', 'same-compute-capability']),
  ),
  option('--strip-weights', 'engines without weights, which a refit puts in'),
  option('--weight-streaming', 'engines whose weights may stay in host memory'),
  option('--timing-cache <file>', "timing cache to begin with (default: the package's, if there is one)"),
  option('--timing-cache-sha256 <hash>', 'what that file has to be').argParser(
    checked('--timing-cache-sha256', isSha256, sha256Expected),
  ),
  option('--error-on-timing-cache-miss', 'fail where that file lacks a timing'),
  sized('--build-timeout <seconds>', 'longest time that an engine may take (default: none)', 'buildTimeout'),
  option('--cache-dir <folder>', 'keep engines here, and take them from here when nothing has changed'),
];

/** Adds the flags of the target tensorrt, under a heading of their own. */
export function addTensorrtFlags(command: Command): Command {
  // Not declared as arguments, which would let them stand in front of `--`, too, and the list of commands be wide.
  command.usage('[options] <model> [-- arguments of trtexec]').allowExcessArguments();
  for (const flag of options) command.addOption(flag);
  return command;
}

/**
 * Parts what commander parsed into the options of `compile` and those of the target tensorrt.
 * @param words what stood on the command line besides MODEL
 */
export function takeTensorrtFlags<T extends TensorrtFlags & Pick<CompileOptions, 'target' | 'form'>>(
  flags: T,
  words: readonly string[],
): {
  readonly rest: Omit<T, keyof TensorrtFlags>;
  readonly tensorrt: TensorrtOptions | undefined;
  readonly explain: boolean;
} {
  // Only what stands behind `--` can begin with a dash and be no option.
  if (words.some((word) => !word.startsWith('-'))) {
    throw new UsageError(
      words.some((word) => word.startsWith('-'))
        ? `trtexec takes --flag=value, and "${words.find((word) => !word.startsWith('-'))}" is none.`
        : `There are ${words.length + 1} arguments where 1 was expected.`,
      flags.target === undefined || flags.target === 'onnx'
        ? undefined
        : 'What is for trtexec stands behind "--", and begins with two dashes: -- --maxAuxStreams=0.',
    );
  }
  const given: Record<string, unknown> = {};
  const rest: Record<string, unknown> = {};
  const names = new Set(options.map((flag) => flag.attributeName()));
  for (const [name, value] of Object.entries(flags)) (names.has(name) ? given : rest)[name] = value;
  if (given.build === true) delete given.build;
  const first = options.find((flag) => Object.hasOwn(given, flag.attributeName()))?.long;
  const { target = 'onnx', form } = flags;
  if (target === 'onnx') {
    if (first != null) throw new UsageError(`${first} goes with --target tensorrt.`);
    if (words.length > 0)
      throw new UsageError('What stands behind "--" is for trtexec, and goes with --target tensorrt.');
    return { rest: rest as Omit<T, keyof TensorrtFlags>, tensorrt: undefined, explain: false };
  }
  // A repository is served by ONNX Runtime unless something is said of TensorRT.
  if (target === 'triton' && first == null && words.length === 0) {
    return { rest: rest as Omit<T, keyof TensorrtFlags>, tensorrt: undefined, explain: false };
  }
  refuseContradictions(given as TensorrtFlags, form);
  const { allowTf32, hardwareCompatibility, explain, ...same } = given as TensorrtFlags;
  const tensorrt: TensorrtOptions = {
    ...same,
    ...(allowTf32 && { tf32: true }),
    ...(hardwareCompatibility !== undefined && {
      hardwareCompatibility:
        hardwareCompatibility === 'same-compute-capability' ? 'sameComputeCapability' : hardwareCompatibility,
    }),
    ...(words.length > 0 && { trtexecArguments: words }),
  };
  return { rest: rest as Omit<T, keyof TensorrtFlags>, tensorrt, explain: explain ?? false };
}

function refuseContradictions(flags: TensorrtFlags, form: CompileOptions['form']): void {
  const { exitShares, meanLoops, build, trtexec, cacheDir, buildTimeout, timingCache, timingCacheSha256 } = flags;
  if (exitShares !== undefined && meanLoops !== undefined)
    throw new UsageError('The options "--exit-shares" and "--mean-loops" do not go together.');
  if (form === 'unrolled' && (exitShares ?? meanLoops) !== undefined) {
    const flag = exitShares === undefined ? '--mean-loops' : '--exit-shares';
    throw new UsageError(`${flag} goes with --form depth-batched: in the form unrolled tokens leave nowhere.`);
  }
  if (timingCacheSha256 !== undefined && timingCache === undefined)
    throw new UsageError('--timing-cache-sha256 says what --timing-cache has to be, and there is none.');
  if (build === false) {
    for (const [flag, value] of Object.entries({
      '--trtexec': trtexec,
      '--cache-dir': cacheDir,
      '--build-timeout': buildTimeout,
    })) {
      if (value !== undefined) throw new UsageError(`${flag} is for building engines, and --no-build leaves that out.`);
    }
  }
}

function option(flags: string, description: string): Option {
  return new Option(flags, description).helpGroup(heading);
}

function checked(flag: string, holds: (text: string) => boolean, expected: string): (text: string) => string {
  return (text) => {
    if (holds(text)) return text;
    throw new UsageError(`"${text}" is no value for ${flag}: ${expected}, was expected.`);
  };
}

function shares(text: string): readonly number[] {
  const list = text.split(',').map((part) => (/^\s*$/.test(part) ? Number.NaN : Number(part)));
  if (!list.some(Number.isNaN) && areShares(list)) return list;
  throw new UsageError(`"${text}" is no value for --exit-shares: ${sharesExpected}, was expected.`);
}
