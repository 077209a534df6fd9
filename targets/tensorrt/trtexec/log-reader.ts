import type { TensorrtVersion } from '../versions.ts';
import { type Figures, type FiguresName, factOf, phases, readLogLine, type TrtexecPhase } from './read-log.ts';

/** What the parser says of a node that it refuses. */
export interface ParserError {
  /** Index of the node in the graph; undefined where it is about the model. */
  readonly node: { readonly number: number; readonly opType: string; readonly output: string } | undefined;
  /** `onnxOpCheckers.cpp:838` */
  readonly place: string;
  readonly function: string;
  /** `[6] …`: a number of nvonnxparser::ErrorCode and what was expected. */
  readonly text: string;
}

/** How long executions took, as far as trtexec said. */
export interface TrtexecPerformance extends Readonly<Partial<Record<FiguresName, Figures>>> {
  /** Executions a second, whatever a batch holds. */
  readonly throughput?: number;
}

/** What a log says, in memory that does not grow with it. */
export interface LogSummary {
  readonly version: TensorrtVersion | undefined;
  readonly gpu: string | undefined;
  readonly computeCapability: string | undefined;
  /** As printed, with six digits of MiB. */
  readonly engineBytes: number | undefined;
  readonly buildSeconds: number | undefined;
  readonly performance: TrtexecPerformance | undefined;
  /** `&&&& PASSED` was there. */
  readonly passed: boolean;
  /** Warnings that the user should hear of, each once. */
  readonly warnings: readonly string[];
  /** Errors in their order; of very many, the first and the last ones. */
  readonly errors: readonly string[];
  readonly parserErrors: readonly ParserError[];
  /** The last lines of stderr that are no information, as they came. */
  readonly stderrTail: readonly string[];
  /** The last lines of stdout. */
  readonly stdoutTail: readonly string[];
}

/** Reads a log line by line. */
export interface LogReader {
  /** @returns the phase that begins with this line, if one does */
  readonly take: (stream: 'stdout' | 'stderr', line: string) => TrtexecPhase | undefined;
  readonly summary: () => LogSummary;
}

/** Longer texts are cut: they are there to be shown. */
const longestText = 2000;

/** A reader for the log of one run. */
export function logReader(): LogReader {
  let version: TensorrtVersion | undefined;
  let gpu: string | undefined;
  let computeCapability: string | undefined;
  let engineBytes: number | undefined;
  let buildSeconds: number | undefined;
  let performance: TrtexecPerformance | undefined;
  let passed = false;
  let phase: TrtexecPhase | undefined;
  const warnings = new Set<string>();
  const errors = ends(40, 40);
  const tails = { stdout: ends(0, 20), stderr: ends(0, 20) };
  const parser = parserReader();

  const enter = (next: TrtexecPhase): TrtexecPhase | undefined => {
    // A line may be said twice, and a failure says that parsing is over as well.
    if (phase !== undefined && phases.indexOf(next) <= phases.indexOf(phase)) return undefined;
    phase = next;
    return next;
  };
  const takeFact = (text: string): TrtexecPhase | undefined => {
    const fact = factOf(text);
    switch (fact?.kind) {
      case 'gpu':
        gpu ??= fact.gpu;
        break;
      case 'compute-capability':
        computeCapability ??= fact.computeCapability;
        break;
      case 'engine-bytes':
        engineBytes = fact.bytes;
        break;
      case 'build-seconds':
        buildSeconds = fact.seconds;
        break;
      case 'throughput':
        performance = { ...performance, throughput: fact.perSecond };
        break;
      case 'figures':
        performance = { ...performance, [fact.of]: fact.figures };
        break;
      case 'phase':
        return enter(fact.phase);
    }
    return undefined;
  };

  return {
    take(stream, line) {
      const read = readLogLine(line);
      if (stream === 'stderr')
        parser.take(read.kind === 'bare' ? undefined : line, read.kind === 'banner' ? '' : read.text);
      if (line.trim() !== '') tails[stream].add(short(line));
      if (read.kind === 'banner') {
        version ??= read.version;
        passed ||= read.state === 'PASSED';
        return read.state === 'RUNNING' ? enter('starting') : read.state === 'PASSED' ? enter('finished') : undefined;
      }
      if (read.kind === 'bare') {
        // What the system, the C library or CUDA's checks say has no tag.
        if (stream === 'stderr' && signsWithoutTag.test(line)) errors.add(short(line));
        // The build goes on, without the cache.
        if (/^Exception while \w+ (?:timing )?cache file/.test(line)) warnings.add(short(line));
        return undefined;
      }
      const { severity, text } = read;
      if (severity === 'E' || severity === 'F') errors.add(short(text));
      else if (severity === 'W') {
        if (warnings.size < 20 && worthSaying.some((pattern) => pattern.test(text))) warnings.add(short(text));
      } else if (severity === 'I') {
        // It stops right behind this, without an error.
        if (/^Cannot find any available devices/.test(text)) errors.add(text);
        return takeFact(text);
      }
      return undefined;
    },
    summary: () => ({
      ...{ version, gpu, computeCapability, engineBytes, buildSeconds, performance, passed },
      warnings: [...warnings],
      errors: errors.list(),
      parserErrors: parser.errors(),
      stderrTail: tails.stderr.list(),
      stdoutTail: tails.stdout.list(),
    }),
  };
}

const signsWithoutTag =
  /error while loading shared libraries|^Cuda failure|terminate called|what\(\):|Assertion .* failed|^Killed$|cannot execute|[Ss]yntax error/;

/** Warnings about what was asked for, or about how far numbers can be trusted. */
const worthSaying: readonly RegExp[] = [
  /is being broadcasted to/,
  /^Dynamic dimensions required for input/,
  /CUDA graph capture failed/,
  /Throughput may be bound by/,
  /GPU compute time is unstable/,
  /deprecated/i,
  /timing cache.*(?:mismatch|invalid|not be used)/i,
  /profiles detected but not set/,
];

/**
 * Finds what the parser says, on stderr:
 *
 * ```
 * [date] [E] [TRT] ModelImporter.cpp:1048: While parsing node number 89 [MatMul -> "y"]:
 * [date] [E] [TRT] ModelImporter.cpp:1050: --- Begin node ---
 * input: "x" …
 * [date] [E] [TRT] ModelImporter.cpp:1051: --- End node ---
 * [date] [E] [TRT] ModelImporter.cpp:1054: ERROR: onnxOpCheckers.cpp:838 In function checkFallbackPluginImporter:
 * [6] …
 * ```
 */
function parserReader() {
  const found: ParserError[] = [];
  let node: ParserError['node'];
  let open: { place: string; function: string; lines: string[] } | undefined;
  const close = () => {
    if (open && found.length < 20)
      found.push({ node, place: open.place, function: open.function, text: open.lines.join('\n') });
    if (open) node = undefined;
    open = undefined;
  };
  return {
    /** @param tagged undefined: the line has no tag, so that it goes on with what was said before */
    take(tagged: string | undefined, text: string): void {
      if (tagged === undefined) {
        if (open && open.lines.length < 5 && text.trim() !== '') open.lines.push(short(text));
        return;
      }
      close();
      const parsing = /While parsing node number (\d+) \[([^\s\]]+)(?: -> "(.*)")?\]:/.exec(text);
      if (parsing) node = { number: Number(parsing[1]), opType: parsing[2]!, output: parsing[3] ?? '' };
      const error = /ERROR: (\S+:\d+) In function (\S+?):?\s*$/.exec(text);
      if (error) open = { place: error[1]!, function: error[2]!, lines: [] };
    },
    errors(): readonly ParserError[] {
      close();
      return found;
    },
  };
}

/** Keeps the first and the last ones of a list that may be long. */
function ends(first: number, last: number) {
  const head: string[] = [];
  const tail: string[] = [];
  return {
    add(text: string): void {
      if (head.length < first) head.push(text);
      else {
        tail.push(text);
        if (tail.length > last) tail.shift();
      }
    },
    list: (): readonly string[] => [...head, ...tail],
  };
}

function short(text: string): string {
  return text.length <= longestText ? text : `${text.slice(0, longestText)}…`;
}
