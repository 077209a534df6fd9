import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import { didYouMean } from '../files/did-you-mean.ts';
import { propagateGraphName, stepGraphName } from '../files/manifest.ts';
import type { Graph } from '../ir/graph.ts';
import { InvariantError, invariant } from '../ir/invariant.ts';
import type { RunPass } from '../passes/pass.ts';
import { depthBatchedPipeline, loopPipeline, type PipelineOptions, unrolledPipeline } from '../passes/pipelines.ts';
import { type PassRecord, runPasses } from '../passes/run-passes.ts';
import { type DialectSpec, dialects } from '../targets/onnx/dialects.ts';
import type { Dialect } from '../targets/onnx/onnx-file.ts';
import { type AttentionForm, tensorrtDialect } from '../targets/tensorrt/dialect.ts';
import { atLeast, defaultVersion, formatVersion, oldestVersion, parseVersion } from '../targets/tensorrt/versions.ts';
import { buildGraph } from './architectures/build-graph.ts';
import { storedCount, storedOrder } from './architectures/layer-places.ts';
import type { CompileOptions, Form } from './compile-options.ts';
import type { SourceModel } from './read/source-model.ts';
import { meansTensorrt } from './tensorrt/means-tensorrt.ts';

/** A pass that broke: a bug in rtc, with what it takes to see it again. */
export class BrokenPassError extends InvariantError {
  /** Text of a .rtc file: the graph that the pass was given, and which pass. */
  readonly reproducer: string;
  constructor(pass: string, message: string, reproducer: string, cause: unknown) {
    super(`pass "${pass}" broke: ${message}`, { cause });
    this.reproducer = reproducer;
  }
}

/** A model's graphs as they go into files; or the graph behind `stopAfter`; or what is wrong. */
export type LoweredModel =
  | { readonly outcome: 'done'; readonly graphs: readonly NamedGraph[]; readonly passes: readonly PassRecord[] }
  | { readonly outcome: 'stopped'; readonly graph: Graph; readonly passes: readonly PassRecord[] }
  | { readonly outcome: 'failed'; readonly diagnostics: readonly Diagnostic[] };

/** A graph of the package and the name of its file. */
export interface NamedGraph {
  readonly file: string;
  readonly graph: Graph<'lowered'>;
}

/** What the graphs of a package are written in. */
export interface ChosenDialect {
  readonly name: Dialect;
  readonly spec: DialectSpec;
  /** Whether graphs say Attention, or what it is made of. */
  readonly attention: AttentionForm;
}

/**
 * The dialect that options choose: the target's own, else the one that is asked for; for TensorRT that of its version.
 * Fails on a version that is none, is too old, or has not what is asked for.
 */
export function findDialect(options: CompileOptions): Result<ChosenDialect> {
  const { dialect, precision = 'f32', tensorrt } = options;
  const name = dialect ?? (meansTensorrt(options) ? 'tensorrt' : 'portable');
  if (name !== 'tensorrt') return success({ name, spec: dialects[name], attention: 'parts' });
  const asked = tensorrt?.tensorrtVersion;
  const version = asked === undefined ? defaultVersion : parseVersion(asked);
  if (!version || !atLeast(version, oldestVersion.major, oldestVersion.minor)) {
    return failure({
      severity: 'error',
      code: 'invalid-option',
      message: `The option "tensorrtVersion" is ${JSON.stringify(asked)}.`,
      hint: `Give a version of TensorRT from ${formatVersion(oldestVersion)} on, such as ${formatVersion(defaultVersion)}.`,
    });
  }
  const found = tensorrtDialect(version, precision, tensorrt?.attention ?? 'auto');
  return found.ok ? success({ name, ...found.value }, found.diagnostics) : found;
}

/** {@link findDialect} for options that it was found for before. */
export function dialectFor(options: CompileOptions): ChosenDialect {
  const found = findDialect(options);
  invariant(found.ok, 'a dialect that was refused');
  return found.value;
}

/**
 * The source graph of a model through the passes of its form.
 * @throws BrokenPassError when a pass breaks, which is a bug in rtc
 */
export function lowerModel(model: SourceModel, form: Form, options: CompileOptions): LoweredModel {
  const { exits, recursion } = model;
  const dialect = findDialect(options);
  if (!dialect.ok) return { outcome: 'failed', diagnostics: dialect.diagnostics };
  const common: PipelineOptions = {
    precision: options.precision ?? 'f32',
    lora: options.lora ?? 'auto',
    keeps: dialect.value.spec.keeps,
    exits: exits?.after ?? [],
  };
  const { prelude, block, loops, coda } = recursion;
  const layers = { prelude, block, loops, coda };
  const reuses = loops === 1 && storedOrder(recursion).length > storedCount(recursion);
  const inSteps = { ...common, layers, reuses, confidence: exits?.confidence ?? ('top1' as const) };
  const pipeline = (graph: Graph<'unrolled'>, run: RunPass): readonly NamedGraph[] => {
    switch (form) {
      case 'unrolled':
        return [
          {
            file: 'model.onnx',
            graph: unrolledPipeline(graph, { ...common, exitLogits: options.exitLogits ?? false }, run),
          },
        ];
      case 'loop':
        return [{ file: 'model.onnx', graph: loopPipeline(graph, inSteps, run) }];
      case 'depth-batched': {
        const { step, propagate } = depthBatchedPipeline(graph, { ...inSteps, ...pagesOf(options) }, run);
        return [
          { file: stepGraphName, graph: step },
          ...(propagate ? [{ file: propagateGraphName, graph: propagate }] : []),
        ];
      }
    }
  };
  const { signal, onDump, onDebug, stopAfter, verifyEach = true } = options;
  const result = runPasses(buildGraph(model), pipeline, {
    verifyEach,
    ...(signal && { signal }),
    ...(onDump && { onDump }),
    ...(onDebug && { onDebug }),
    ...(stopAfter !== undefined && { stopAfter }),
  });
  switch (result.outcome) {
    case 'broken': {
      const { pass, message, reproducer, cause } = result.breakage;
      throw new BrokenPassError(pass, message, reproducer, cause);
    }
    case 'refused':
      return { outcome: 'failed', diagnostics: result.problems.map((problem) => refused(problem, form)) };
    case 'stopped':
      return result;
    case 'done':
      if (stopAfter !== undefined) return { outcome: 'failed', diagnostics: [unknownPass(stopAfter, result.passes)] };
      return { outcome: 'done', graphs: result.graph, passes: result.passes };
  }
}

/** Pages of the form depth-batched. */
export function pagesOf({ pageSize = 64, attentionGroups = 1 }: CompileOptions): {
  readonly pageSize: number;
  readonly groups: number;
} {
  return { pageSize, groups: attentionGroups };
}

function refused(message: string, form: Form): Diagnostic {
  const hint = 'The form "unrolled" takes any model; RTC_DEBUG=3 shows what passes say.';
  return {
    severity: 'error',
    code: 'unsupported-graph',
    message: `The form "${form}" cannot be made: ${message}`,
    hint,
  };
}

function unknownPass(name: string, passes: readonly PassRecord[]): Diagnostic {
  const names = [...new Set(passes.map((pass) => (pass.branch ? `${pass.branch}-${pass.name}` : pass.name)))];
  return {
    severity: 'error',
    code: 'unknown-pass',
    message: `No pass of this form is called "${name}".${didYouMean(name, names)}`,
    hint: `There are ${names.join(', ')}.`,
  };
}
