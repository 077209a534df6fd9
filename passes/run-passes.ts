import { allOps, type Graph, type Op, type Stage } from '../ir/graph.ts';
import type { OpKind } from '../ir/op-table.ts';
import { printGraph } from '../ir/print.ts';
import { verifyGraph } from '../ir/verify.ts';
import type { Pass, PassContext, PassOptions, RunPass, StablePass } from './pass.ts';
import { Refusal } from './refusal.ts';
import { writeReproducer } from './reproducer.ts';

export interface RunOptions {
  /** Verifies the source and the graph after every pass; on by default. */
  readonly verifyEach?: boolean;
  /** Stops behind the first pass of this name; in a branch, `{branch}-{name}`. */
  readonly stopAfter?: string;
  /** Receives the graph as text at every step, in order: `00-source`, `01-fold-loop` …, in a branch `{branch}-00-…` */
  readonly onDump?: (name: string, text: string) => void;
  readonly onDebug?: (message: DebugMessage) => void;
  /** Looked at between passes: once aborted, its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Milliseconds since any moment; what times are taken with. */
  readonly clock?: () => number;
}

/** Something to show with RTC_DEBUG=`level`: 1 passes and times, 2 what changed, 3 what passes say, 4 whole graphs. */
export interface DebugMessage {
  readonly level: 1 | 2 | 3 | 4;
  readonly text: string;
}

/** One pass that ran. */
export interface PassRecord {
  readonly name: string;
  /** The branch that it ran in; undefined for the main graph. */
  readonly branch: string | undefined;
  readonly milliseconds: number;
  /** Operations of the graph afterwards, loop bodies included. */
  readonly ops: number;
  /** What the pass said it did, or why it did not. */
  readonly notes: readonly string[];
  /** What the pass decided, by name. */
  readonly facts: Readonly<Record<string, string>>;
}

/** `Made`: what the pipeline gives, a graph or several by name. */
export type PipelineResult<Made> =
  | { readonly outcome: 'done'; readonly graph: Made; readonly passes: readonly PassRecord[] }
  /** Behind `stopAfter`. */
  | { readonly outcome: 'stopped'; readonly graph: Graph; readonly passes: readonly PassRecord[] }
  /** A pass cannot do its work on this graph, as the sentences say: a matter of the model, not of rtc. */
  | {
      readonly outcome: 'refused';
      readonly pass: string;
      readonly problems: readonly string[];
      readonly passes: readonly PassRecord[];
    }
  /** A pass threw, or gave a graph that does not verify: a bug in rtc. */
  | { readonly outcome: 'broken'; readonly breakage: Breakage; readonly passes: readonly PassRecord[] };

export interface Breakage {
  /** The pass; `source` when the graph was wrong before the first. */
  readonly pass: string;
  /** What was thrown, or what the verifier found. */
  readonly message: string;
  /** What was thrown, if something was. */
  readonly cause: unknown;
  /** A text to write into a .rtc file: the graph that the pass was given, and how to run the pass on it again. */
  readonly reproducer: string;
}

/**
 * Runs a pipeline on `source`, with all that goes with each pass. Broken passes come back as a value, so that the
 * caller can keep the reproducer; only an aborted signal throws.
 */
export function runPasses<From extends Stage, Made>(
  source: Graph<From>,
  pipeline: (source: Graph<From>, run: RunPass) => Made,
  options: RunOptions = {},
): PipelineResult<Made> {
  const { verifyEach = true, stopAfter, onDump, onDebug, signal, clock = () => performance.now() } = options;
  const passes: PassRecord[] = [];
  const steps = new Map<string, number>();
  const show = (name: string, graph: Graph, prefix: string): void => {
    const step = steps.get(prefix) ?? 0;
    steps.set(prefix, step + 1);
    if (!onDump && !onDebug) return;
    const text = printGraph(graph);
    onDump?.(`${prefix}${String(step).padStart(2, '0')}-${name}`, text);
    onDebug?.({ level: 4, text });
  };

  const run = (pass: AnyPass, graph: Graph, branch: string | undefined): Graph => {
    const prefix = branch === undefined ? '' : `${branch}-`;
    signal?.throwIfAborted();
    const notes: string[] = [];
    const facts: Record<string, string> = {};
    const context: PassContext = {
      note: (message) => notes.push(message),
      fact: (name, value) => {
        facts[name] = value;
      },
    };
    const started = clock();
    let result: Graph;
    try {
      result = pass.run(graph, context);
    } catch (cause) {
      if (cause instanceof Refusal) {
        throw new Halt({ outcome: 'refused', pass: pass.name, problems: cause.problems, passes });
      }
      throw new Halt({ outcome: 'broken', breakage: breakage(pass, graph, messageOf(cause), cause), passes });
    }
    const milliseconds = clock() - started;
    const record = { name: pass.name, branch, milliseconds, ops: countOps(result), notes, facts };
    passes.push(record);
    report(record, graph, result, onDebug);
    show(pass.name, result, prefix);
    const problems = verifyEach ? verifyGraph(result) : [];
    if (problems.length > 0) {
      throw new Halt({ outcome: 'broken', breakage: breakage(pass, graph, problems.join('\n'), undefined), passes });
    }
    if (`${prefix}${pass.name}` === stopAfter) throw new Halt({ outcome: 'stopped', graph: result, passes });
    return result;
  };
  const runner = (branch: string | undefined): RunPass =>
    Object.assign((pass: AnyPass, graph: Graph) => run(pass, graph, branch), { branch: runner }) as unknown as RunPass;

  try {
    show('source', source, '');
    const problems = verifyEach ? verifyGraph(source) : [];
    if (problems.length > 0) {
      return { outcome: 'broken', breakage: breakage(undefined, source, problems.join('\n'), undefined), passes };
    }
    return { outcome: 'done', graph: pipeline(source, runner(undefined)), passes };
  } catch (halt) {
    if (halt instanceof Halt) return halt.result;
    throw halt;
  }
}

/** A pass of any stages: what a runner does is the same for all. */
export interface AnyPass {
  readonly name: string;
  readonly options?: PassOptions | undefined;
  readonly run: (graph: Graph, context: PassContext) => Graph;
}

/** A pass as the runner and the replay see it, stages forgotten: the verifier finds a graph that does not suit. */
export function anyPass(pass: Pass<never, Stage> | StablePass): AnyPass {
  return pass as unknown as AnyPass;
}

/** Leaves a pipeline in the middle. Thrown, as the pipeline between has nothing to do with it. */
class Halt extends Error {
  readonly result: Exclude<PipelineResult<never>, { readonly outcome: 'done' }>;
  constructor(result: Exclude<PipelineResult<never>, { readonly outcome: 'done' }>) {
    super(result.outcome);
    this.result = result;
  }
}

function breakage(
  pass: { readonly name: string; readonly options?: PassOptions | undefined } | undefined,
  input: Graph,
  message: string,
  cause: unknown,
): Breakage {
  return { pass: pass?.name ?? 'source', message, cause, reproducer: writeReproducer(pass, input, message) };
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function report(record: PassRecord, before: Graph, after: Graph, onDebug: RunOptions['onDebug']): void {
  if (!onDebug) return;
  const name = record.branch === undefined ? record.name : `${record.branch}-${record.name}`;
  onDebug({ level: 1, text: `${name}: ${record.milliseconds.toFixed(1)} ms, ${record.ops} operations` });
  const changes = describeChanges(before, after);
  if (changes !== '') onDebug({ level: 2, text: `${name}: ${changes}` });
  for (const note of record.notes) onDebug({ level: 3, text: `${name}: ${note}` });
}

/** Kinds of operation that became more or fewer, such as `add −2, linear +4`. */
function describeChanges(before: Graph, after: Graph): string {
  const counts = new Map<OpKind, number>();
  const count = (op: Op, by: number) => counts.set(op.kind, (counts.get(op.kind) ?? 0) + by);
  for (const op of allOps(before)) count(op, -1);
  for (const op of allOps(after)) count(op, 1);
  const changes = [...counts].filter(([, by]) => by !== 0).sort(([a], [b]) => (a < b ? -1 : 1));
  const weights = after.weights.length - before.weights.length;
  return [...changes, ...(weights === 0 ? [] : [['weights', weights] as const])]
    .map(([kind, by]) => `${kind} ${by < 0 ? '−' : '+'}${Math.abs(by)}`)
    .join(', ');
}

function countOps(graph: Graph): number {
  let count = 0;
  for (const _ of allOps(graph)) count++;
  return count;
}
