import { formatVersion, type TensorrtVersion } from '../versions.ts';
import type { DescribeNode } from './describe-node.ts';
import type { TrtexecCode } from './trtexec-codes.ts';

/** What is known of a call that failed. */
export interface FailedCall {
  readonly args: readonly string[];
  readonly version: TensorrtVersion | undefined;
  readonly describeNode: DescribeNode | undefined;
}

/** What a line of a log means. */
export interface Sign {
  readonly code: TrtexecCode;
  /** One or two sentences. */
  readonly message: string;
  readonly hint?: string;
}

/** What an error says, where rtc knows it; the sign that tells most comes first, whichever line it is on. */
export function findSign(errors: readonly string[], call: FailedCall): (Sign & { readonly line: string }) | undefined {
  for (const [pattern, say] of signs) {
    for (const line of errors) {
      const match = pattern.exec(line);
      const sign = match && say(match, call);
      if (sign) return { ...sign, line };
    }
  }
  return undefined;
}

type Say = (match: RegExpExecArray, call: FailedCall) => Sign | undefined;

const signs: readonly (readonly [RegExp, Say])[] = [
  [
    /error while loading shared libraries: ([^:]+):|Could not load library ([^\s:]+)|Unable to open library: ([^\s:]+)/,
    (match) => missingLibrary(match[1] ?? match[2] ?? match[3]!),
  ],
  [
    /driver version is insufficient|forward compatibility was attempted|unsupported display driver/,
    () => ({
      code: 'trtexec-no-gpu',
      message: "The GPU's driver is too old for this trtexec.",
      hint: 'nvidia-smi says which CUDA version the driver supports; take a newer driver, or the TensorRT for that CUDA version.',
    }),
  ],
  [
    /Cannot find any available devices|no CUDA-capable device|Cannot find device ID|initialization error/,
    () => ({
      code: 'trtexec-no-gpu',
      message: 'trtexec finds no GPU.',
      hint: 'Does nvidia-smi show one here? A container needs to be started with it (--gpus all); CUDA_VISIBLE_DEVICES may hide it.',
    }),
  ],
  [
    /^Unknown option: (--[^\s=]+)/,
    ([, flag], { version }) => ({
      code: 'trtexec-option',
      message: `trtexec${ofVersion(version)} has no flag ${flag}, or was given it twice.`,
      hint: 'trtexec --help lists its flags. What stands behind -- goes to trtexec as it is.',
    }),
  ],
  [
    /^Uncaught exception detected: sto[a-z]+/,
    () => ({ code: 'trtexec-option', message: 'trtexec was given a value that is no number, or too large a one.' }),
  ],
  [
    /Failed to open file: (\S+)/,
    ([, file]) => ({
      code: 'trtexec-parser',
      message: `TensorRT's parser finds no weights in "${file}".`,
      hint: 'The weight files of the package have to lie beside its graphs; copy the whole folder, and keep hard links as files.',
    }),
  ],
  [
    /Cannot find input tensor with name "([^"]*)"/,
    ([, name]) => ({
      code: 'trtexec-shapes',
      message: `trtexec was given sizes or a file for "${name}", which is no input.`,
      hint: 'Names are matched to the letter; a graph that was compiled again may have others.',
    }),
  ],
  [
    /k?(MIN|OPT|MAX) values for profile (\d+) violate shape constraints: (.*)/,
    ([, which, profile, rest = ''], call) => {
      const node = namedNode(rest, call);
      return {
        code: 'trtexec-shapes',
        message: `The ${which!.toLowerCase()} sizes of profile ${profile} do not fit the graph${node === undefined ? '' : `, at ${node}`}.`,
        hint: 'Sizes that rtc chose fit: is this a graph that was compiled with other sizes, or were shapes passed on behind --?',
      };
    },
  ],
  [
    /must satisfy MIN<=OPT<=MAX|Required optimization profile is invalid|values are not self-consistent/,
    () => ({ code: 'trtexec-shapes', message: 'The sizes of a profile contradict each other, or the graph.' }),
  ],
  [
    /does not satisfy any optimization profile|provided shapes do not match the static shapes|Invalid tensor names found|exceeds the number of profiles/,
    () => ({
      code: 'trtexec-shapes',
      message: 'The engine was not built for these sizes.',
      hint: 'rtc.json lists the profiles; compile with a larger --max-rows, --max-context or --prefill-chunk, and build again.',
    }),
  ],
  [
    /Static model does not take explicit shapes/,
    () => ({ code: 'trtexec-shapes', message: 'The graph has no sizes to choose, but trtexec was given some.' }),
  ],
  [
    /Version tag does not match/,
    (_, { version }) => ({
      code: 'trtexec-other-engine',
      message: `The engine was built by another version of TensorRT than that of trtexec${version === undefined ? '' : `, ${formatVersion(version)}`}.`,
      hint: 'Build it with this version, or build with --version-compatible.',
    }),
  ],
  [
    /expecting compute (\d+\.\d+) got compute (\d+\.\d+)/,
    ([, ours, theirs]) => ({
      code: 'trtexec-other-engine',
      message: `The engine was built for GPUs of compute capability ${theirs}; this one has ${ours}.`,
      hint: 'Build it on this GPU, or build with --hardware-compatibility.',
    }),
  ],
  [
    /Magic tag does not match|Failed to verify a plan tag|Plan file is (?:empty|incorrect)/,
    () => ({
      code: 'trtexec-other-engine',
      message: 'The file is no engine, or it is cut off.',
      hint: 'Build it again.',
    }),
  ],
  [
    /^(?:Error opening engine file|Error loading engine file): (.*)$/,
    ([, file]) => ({ code: 'trtexec-failed', message: `trtexec cannot read the engine "${file}".` }),
  ],
  [
    /Failed to create ITimingCache|setTimingCache failed/,
    () => ({
      code: 'trtexec-timing-cache',
      message: 'The timing cache is none that this version of TensorRT takes, or it is cut off.',
      hint: 'Take it away, or name another one.',
    }),
  ],
  [
    /timing ?cache.*miss|cache miss/i,
    () => ({
      code: 'trtexec-timing-cache',
      message: 'The timing cache does not hold all that this build measures, and it was told not to measure.',
      hint: 'Build once without --error-on-timing-cache-miss on the same kind of GPU with the same version, and keep its timing.cache.',
    }),
  ],
  [
    /Cannot write to FileStreamWriter|Saving engine to file failed|No space left on device|Disk quota exceeded|Cannot open engine file/,
    () => ({
      code: 'trtexec-disk-full',
      message: 'trtexec could not write the engine.',
      hint: 'Is there room on the disk? An engine takes about as much as its weights, and the old one stays until the new one is whole.',
    }),
  ],
  [
    /bad_alloc/,
    () => ({
      code: 'trtexec-out-of-memory',
      message: 'trtexec ran out of memory on the host.',
      hint: 'A build holds the weights several times over.',
    }),
  ],
  [
    /out of memory|OutOfMemory/i,
    ({ input }, { args }) => ({
      code: 'trtexec-out-of-memory',
      message: `The GPU has too little memory${args.some((arg) => arg.startsWith('--loadEngine')) ? ' to run the engine' : ' for this build'}${allocation(input)}.`,
      hint: 'Free the GPU (nvidia-smi lists who uses it), take a smaller --workspace, a smaller --max-rows, --max-context or --prefill-chunk.',
    }),
  ],
  [
    /Could not find any implementation for node (.*)/,
    ([, rest = ''], call) => {
      const node = namedNode(rest, call);
      const missed = call.args.includes('--errorOnTimingCacheMiss');
      return {
        code: missed ? 'trtexec-timing-cache' : 'trtexec-failed',
        message: `TensorRT has no kernel for a part of the graph${node === undefined ? '' : `: ${node}`}.`,
        hint: missed
          ? 'The timing cache may not hold all that this build measures: build once without --error-on-timing-cache-miss.'
          : /attention/i.test(rest)
            ? 'Compile with --attention parts, or give the build a larger --workspace.'
            : 'Give the build a larger --workspace, or another --optimization-level.',
      };
    },
  ],
];

/** What is said when a library is not found. */
export function missingLibrary(library: string): Sign {
  const driver = /libcuda\.|libnvidia/.test(library);
  return {
    code: 'trtexec-library',
    message: `trtexec is there, but not the library "${library}" that it needs.`,
    hint: driver
      ? "It belongs to the GPU's driver: is this a machine, or a container, with a GPU?"
      : 'Set LD_LIBRARY_PATH to the folder that holds it (lib beside the bin of TensorRT, or that of CUDA).',
  };
}

function ofVersion(version: TensorrtVersion | undefined): string {
  return version === undefined ? '' : ` ${formatVersion(version)}`;
}

function allocation(line: string): string {
  const bytes = /[Rr]equested (?:amount of GPU memory \(|size was )(\d+)/.exec(line)?.[1];
  return bytes === undefined ? '' : ` (${(Number(bytes) / 2 ** 30).toFixed(1)} GiB were asked for)`;
}

/** The first node of ours that a text of TensorRT's names; layers that were fused are named by their first and last. */
function namedNode(text: string, { describeNode }: FailedCall): string | undefined {
  // `{ForeignNode[/a/b.../c/d]}`: three dots stand between names that may hold dots themselves.
  const names = text.split(/\.\.\.|[\s{}[\]()+,:"']+/).filter((name) => name !== '');
  for (const name of names) {
    const described = describeNode?.(-1, '', name) ?? describeNode?.(-1, '', name.replace(/\.+$/, ''));
    if (described !== undefined) return described;
  }
  return undefined;
}
