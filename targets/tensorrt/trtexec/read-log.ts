import type { TensorrtVersion } from '../versions.ts';

/** Tags of trtexec's messages: verbose, information, warning, error, fatal. */
export type Severity = 'V' | 'I' | 'W' | 'E' | 'F';

/** A line of what trtexec prints. Dates and tags are taken off. */
export type LogLine =
  | { readonly kind: 'banner'; readonly state: string; readonly version: TensorrtVersion | undefined }
  | { readonly kind: 'message'; readonly severity: Severity; readonly text: string }
  /** Without a tag: a message's further lines, help, or what others print. */
  | { readonly kind: 'bare'; readonly text: string };

/** Milliseconds of executions, as trtexec sums them up. */
export interface Figures {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly median: number;
  /** By what stands in front of the percent sign: `90`, `95`, `99` unless told otherwise. */
  readonly percentiles: Readonly<Record<string, number>>;
}

/** Names of what {@link Figures} are of. */
export type FiguresName = 'latency' | 'enqueue' | 'h2d' | 'gpuCompute' | 'd2h';

/** What trtexec is doing, in the order in which it does it; a run leaves some out. */
export const phases = ['starting', 'parsing', 'building', 'loading', 'running', 'finished'] as const;

export type TrtexecPhase = (typeof phases)[number];

/** What a message says that somebody may want to know. */
export type LogFact =
  | { readonly kind: 'gpu'; readonly gpu: string }
  | { readonly kind: 'compute-capability'; readonly computeCapability: string }
  | { readonly kind: 'phase'; readonly phase: TrtexecPhase }
  | { readonly kind: 'engine-bytes'; readonly bytes: number }
  | { readonly kind: 'build-seconds'; readonly seconds: number }
  | { readonly kind: 'throughput'; readonly perSecond: number }
  | { readonly kind: 'figures'; readonly of: FiguresName; readonly figures: Figures };

/** Reads one line; every text is some line. */
export function readLogLine(line: string): LogLine {
  const message = /^\[[^\]\n]{1,40}\] \[([VIWEF])\] ?(.*)$/s.exec(line);
  if (message) return { kind: 'message', severity: message[1] as Severity, text: message[2]!.replace(/^\[TRT\] /, '') };
  const banner = /^&&&& ([A-Z_]+) TensorRT\.trtexec(?: \[TensorRT v(\d{4,7})\])?/.exec(line);
  if (banner) return { kind: 'banner', state: banner[1]!, version: versionOfNumber(banner[2]) };
  return { kind: 'bare', text: line };
}

/** `8601` is 8.6.1, `101600` is 10.16.0: from 10.0 on two digits each. */
export function versionOfNumber(digits: string | undefined): TensorrtVersion | undefined {
  if (digits === undefined || !/^\d{4,7}$/.test(digits)) return undefined;
  const number = Number(digits);
  const [majors, minors] = digits.length < 6 ? [1000, 100] : [10_000, 100];
  return {
    major: Math.floor(number / majors),
    minor: Math.floor((number % majors) / minors),
    patch: number % minors,
  };
}

/** What a message of severity I says, where it is something to know. */
export function factOf(text: string): LogFact | undefined {
  for (const [pattern, read] of patterns) {
    const match = pattern.exec(text);
    if (match) return read(match[1] ?? '', match[2] ?? '');
  }
  return undefined;
}

const number = String.raw`(\d+(?:\.\d+)?(?:e[+-]?\d+)?)`;

const patterns: readonly (readonly [RegExp, (first: string, second: string) => LogFact | undefined])[] = [
  [/^Selected Device: (.+)$/, (gpu) => ({ kind: 'gpu', gpu: gpu.trim() })],
  [/^Compute Capability: (\d+\.\d+)/, (computeCapability) => ({ kind: 'compute-capability', computeCapability })],
  [/^Start parsing network model/, () => ({ kind: 'phase', phase: 'parsing' })],
  [/^Finished parsing network model/, () => ({ kind: 'phase', phase: 'building' })],
  // 10.0 says the seconds first, later versions the size.
  [RegExp(`^Created engine with size: ${number} MiB`), (mib) => ({ kind: 'engine-bytes', bytes: mebibytes(mib) })],
  [RegExp(`^Loaded engine with size: ${number} MiB`), (mib) => ({ kind: 'engine-bytes', bytes: mebibytes(mib) })],
  [RegExp(`^Engine built in ${number} sec`), (seconds) => ({ kind: 'build-seconds', seconds: Number(seconds) })],
  [/^Engine loaded in /, () => ({ kind: 'phase', phase: 'loading' })],
  [/^Starting inference/, () => ({ kind: 'phase', phase: 'running' })],
  [RegExp(`^Throughput: ${number} qps`), (perSecond) => ({ kind: 'throughput', perSecond: Number(perSecond) })],
  [
    /^(Latency|Enqueue Time|H2D Latency|GPU Compute Time|D2H Latency): (min = .*)$/,
    (name, list) => {
      const figures = figuresOf(list);
      return figures && { kind: 'figures', of: figuresNames[name]!, figures };
    },
  ],
];

const figuresNames: Readonly<Record<string, FiguresName>> = {
  Latency: 'latency',
  'Enqueue Time': 'enqueue',
  'H2D Latency': 'h2d',
  'GPU Compute Time': 'gpuCompute',
  'D2H Latency': 'd2h',
};

/** `min = 0.1 ms, max = 0.3 ms, mean = 0.2 ms, median = 0.2 ms, percentile(90%) = 0.3 ms` */
function figuresOf(list: string): Figures | undefined {
  const found = new Map(
    Array.from(
      list.matchAll(RegExp(String.raw`([a-z]+|percentile\([\d.e+-]+%\)) = ${number} ms`, 'g')),
      ([, name, ms]) => [name!, Number(ms)],
    ),
  );
  const [min, max, mean, median] = ['min', 'max', 'mean', 'median'].map((name) => found.get(name));
  if (min === undefined || max === undefined || mean === undefined || median === undefined) return undefined;
  const percentiles: Record<string, number> = {};
  for (const [name, ms] of found) {
    const share = /^percentile\((.+)%\)$/.exec(name)?.[1];
    if (share !== undefined) percentiles[share] = ms;
  }
  return { min, max, mean, median, percentiles };
}

function mebibytes(digits: string): number {
  return Math.round(Number(digits) * 2 ** 20);
}
