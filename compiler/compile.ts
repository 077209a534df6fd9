import { basename } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import { didYouMean } from '../files/did-you-mean.ts';
import { propagateGraphName, stepGraphName } from '../files/manifest.ts';
import type { Graph } from '../ir/graph.ts';
import { InvariantError } from '../ir/invariant.ts';
import { printGraph } from '../ir/print.ts';
import type { LoraStrategy } from '../passes/merge-lora.ts';
import type { RunPass } from '../passes/pass.ts';
import { depthBatchedPipeline, loopPipeline, type PipelineOptions, unrolledPipeline } from '../passes/pipelines.ts';
import { type PassRecord, runPasses } from '../passes/run-passes.ts';
import { dialects } from '../targets/onnx/dialects.ts';
import { generatedFile, lowerToOnnx } from '../targets/onnx/lower.ts';
import type { OnnxFile } from '../targets/onnx/onnx-file.ts';
import { buildGraph } from './architectures/build-graph.ts';
import { bindingsName, generateBindings } from './bindings/generate-bindings.ts';
import type { CompileOptions, CompileResult, Form, Layout } from './compile-options.ts';
import { describeInterface, type PackageFacts } from './package/describe-package.ts';
import { checkPlace, interrupted } from './package/place-folder.ts';
import { inputsOf, writePackage } from './package/write-package.ts';
import { readModel } from './read/read-model.ts';
import type { SourceModel } from './read/source-model.ts';
import { rtcVersion } from './version.ts';

/** A pass that broke: a bug in rtc, with what it takes to see it again. */
export class BrokenPassError extends InvariantError {
  /** Text of a .rtc file: the graph that the pass was given, and which pass. */
  readonly reproducer: string;
  constructor(pass: string, message: string, reproducer: string, cause: unknown) {
    super(`pass "${pass}" broke: ${message}`, { cause });
    this.reproducer = reproducer;
  }
}

/**
 * Compiles a model into a package: reads and checks the model, runs the passes of the form, writes the graph, and links
 * the weights. Everything that is wrong with the input comes back as diagnostics; nothing is written then.
 * @throws BrokenPassError when a pass breaks, which is a bug in rtc
 */
export async function compile(options: CompileOptions): Promise<Result<CompileResult>> {
  const result = await compileModel(options);
  for (const diagnostic of result.diagnostics) options.onDiagnostic?.(diagnostic);
  return result;
}

async function compileModel(options: CompileOptions): Promise<Result<CompileResult>> {
  const { signal, onProgress } = options;
  const form = options.form ?? defaultForm;
  const wrong = contradictions(options, form);
  if (wrong.length > 0) return failure(...wrong);
  try {
    onProgress?.({ step: 'read' });
    const read = await readModel(options.model, signal ? { signal } : {});
    if (!read.ok) return read;
    const model = read.value;
    const out = options.out ?? `${model.name}-${form}`;
    // Before the work, not after it; the package is checked again when it takes its place.
    const refused = options.stopAfter === undefined ? await checkPlace(out, inputsOf(model)) : undefined;
    if (refused) return failure(refused);

    const lowered = lower(model, form, options);
    if (lowered.outcome === 'stopped') {
      return success({ folder: undefined, files: [], passes: lowered.passes, stopped: printGraph(lowered.graph) });
    }
    if (lowered.outcome === 'failed') return failure(...lowered.diagnostics);
    onProgress?.({ step: 'write' });
    return withDiagnostics(await write(model, form, out, lowered, options), read.diagnostics);
  } catch (error) {
    if (signal?.aborted) return failure(interrupted(options.out ?? basename(options.model)));
    throw error;
  }
}

/** The form that is compiled where none is asked for: what rtc is for. */
export const defaultForm: Form = 'unrolled';

const choices = {
  target: ['onnx'],
  form: ['depth-batched', 'loop', 'unrolled'],
  dialect: ['portable', 'ort'],
  precision: ['f32', 'f16', 'bf16'],
  lora: ['auto', 'bake', 'keep', 'concatenate', 'gather'],
  layout: ['rtc', 'huggingface'],
} as const satisfies Partial<Record<keyof CompileOptions, readonly string[]>>;

/** Options that rtc does not know, or that exclude each other. */
function contradictions(options: CompileOptions, form: Form): readonly Diagnostic[] {
  const { exitLogits, layout } = options;
  const wrong: Diagnostic[] = [];
  const error = (code: string, message: string, hint: string) => wrong.push({ severity: 'error', code, message, hint });
  // Types end where JavaScript calls.
  for (const [option, known] of Object.entries(choices)) {
    const found = options[option as keyof typeof choices];
    if (found === undefined || (known as readonly string[]).includes(found)) continue;
    error(
      'unknown-choice',
      `The option "${option}" is ${JSON.stringify(found)}.`,
      `Choose one of ${known.join(', ')}.`,
    );
  }
  if (exitLogits && form !== 'unrolled') {
    error(
      'no-exit-logits',
      `The form "${form}" has its exits inside and gives no exit logits.`,
      'Use the form "unrolled".',
    );
  }
  if (layout === 'huggingface' && form !== 'unrolled') {
    const message = `The layout "huggingface" is for runtimes that know no loops, and the form is "${form}".`;
    error('no-hugging-face-layout', message, 'Use the form "unrolled".');
  }
  return wrong;
}

type Lowered =
  | { readonly outcome: 'done'; readonly graphs: readonly NamedGraph[]; readonly passes: readonly PassRecord[] }
  | { readonly outcome: 'stopped'; readonly graph: Graph; readonly passes: readonly PassRecord[] }
  | { readonly outcome: 'failed'; readonly diagnostics: readonly Diagnostic[] };

/** A graph of the package and the name of its file. */
interface NamedGraph {
  readonly file: string;
  readonly graph: Graph<'lowered'>;
}

/** The source graph through the passes of its form. */
function lower(model: SourceModel, form: Form, options: CompileOptions): Lowered {
  const { exits, recursion } = model;
  const common: PipelineOptions = {
    precision: options.precision ?? 'f32',
    lora: options.lora ?? 'auto',
    keeps: dialects[options.dialect ?? 'portable'].keeps,
    exits: exits?.after ?? [],
  };
  const inSteps = { ...common, layers: recursion, confidence: exits?.confidence ?? ('top1' as const) };
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
function pagesOf({ pageSize = 64, attentionGroups = 1 }: CompileOptions): {
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

/** The lowered graphs as a package. */
async function write(
  model: SourceModel,
  form: Form,
  out: string,
  { graphs, passes }: Extract<Lowered, { outcome: 'done' }>,
  options: CompileOptions,
): Promise<Result<CompileResult>> {
  const dialect = options.dialect ?? 'portable';
  const compute = options.precision ?? 'f32';
  const strategy = model.lora && strategyOf(passes);
  const onnx: OnnxFile[] = [];
  for (const [i, { file, graph }] of graphs.entries()) {
    onnx.push(
      lowerToOnnx(graph, {
        dialect,
        fileName: file,
        version: rtcVersion(),
        metadata: {
          'rtc.form': form,
          'rtc.dialect': dialect,
          'rtc.precision': compute,
          'rtc.recursion': JSON.stringify(model.recursion),
          ...(strategy && { 'rtc.lora': strategy }),
          'rtc.passes': passes
            .flatMap(({ name, branch }) => ((branch === undefined) === (i === 0) ? [name] : []))
            .join(' '),
        },
        materialize: options.writeWeights ?? false,
        ...(i > 0 && { generatedFile: `${basename(file, '.onnx')}.${generatedFile}`, beside: onnx[0]! }),
      }),
    );
  }
  const facts: PackageFacts = {
    rtc: rtcVersion(),
    form,
    target: 'onnx',
    dialect,
    precision: { compute, weights: options.writeWeights ? 'written' : 'checkpoint' },
    passes: passes.map(({ name }) => name),
    loraStrategy: strategy,
    graphs: graphs.map(({ graph }) => graph),
    ...(form === 'depth-batched' && { pages: pagesOf(options) }),
  };
  const layout = options.layout ?? 'rtc';
  const written = await writePackage({
    model,
    onnx,
    layout,
    extra: options.bindings ? [await bindingsFile(model, facts, onnx, layout)] : [],
    facts,
    out,
    copyWeights: options.copyWeights,
    checksum: options.checksum,
    signal: options.signal,
    onProgress: options.onProgress,
  });
  if (!written.ok) return written;
  const { folder, manifest, sizes } = written.value;
  const files = [...sizes].map(([path, bytes]) => ({
    path,
    bytes,
    linked: manifest.files[path]?.origin === 'checkpoint',
  }));
  return success({ folder, files, passes, stopped: undefined }, written.diagnostics);
}

async function bindingsFile(
  model: SourceModel,
  { form, graphs, rtc }: PackageFacts,
  onnx: readonly OnnxFile[],
  layout: Layout,
): Promise<{ readonly path: string; readonly bytes: Uint8Array }> {
  const described = onnx.map(({ name }, i) => {
    return [layout === 'huggingface' ? `onnx/${name}` : name, describeInterface(graphs[i]!)] as const;
  });
  const text = await generateBindings({ name: model.name, rtc, form, graphs: Object.fromEntries(described) });
  return { path: bindingsName, bytes: Buffer.from(text) };
}

/** What merge-lora did: asked for, or chosen. */
function strategyOf(passes: readonly PassRecord[]): LoraStrategy | undefined {
  const chosen = passes.find(({ name }) => name === 'merge-lora')?.facts.strategy;
  return chosen as LoraStrategy | undefined;
}

function withDiagnostics<T>(result: Result<T>, diagnostics: readonly Diagnostic[]): Result<T> {
  const all = [...diagnostics, ...result.diagnostics];
  return result.ok ? success(result.value, all) : failure(...all);
}
