import { basename, posix, resolve } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import { printGraph } from '../ir/print.ts';
import type { LoraStrategy } from '../passes/merge-lora.ts';
import type { PassRecord } from '../passes/run-passes.ts';
import { generatedFile, lowerToOnnx } from '../targets/onnx/lower.ts';
import type { OnnxFile } from '../targets/onnx/onnx-file.ts';
import { formatVersion } from '../targets/tensorrt/versions.ts';
import { bindingsName, generateBindings } from './bindings/generate-bindings.ts';
import { type CompileOptions, type CompileResult, defaultForm, type Form, type Layout } from './compile-options.ts';
import { contradictions } from './contradictions.ts';
import { dialectFor, type LoweredModel, lowerModel, pagesOf } from './lower-model.ts';
import { describeInterface, type PackageFacts } from './package/describe-package.ts';
import { checkPlace, interrupted } from './package/place-folder.ts';
import { inputsOf, writePackage } from './package/write-package.ts';
import { readModel } from './read/read-model.ts';
import type { SourceModel } from './read/source-model.ts';
import { timingCacheName } from './tensorrt/build/build-jobs.ts';
import { chooseTensorrt, type TensorrtChoice } from './tensorrt/choose-tensorrt.ts';
import { meansTensorrt } from './tensorrt/means-tensorrt.ts';
import { buildPackageEngines, planPackageEngines } from './tensorrt/package-engines.ts';
import { repositoryFiles, repositoryFolder } from './triton/write-repository.ts';
import { rtcVersion } from './version.ts';

export { BrokenPassError } from './lower-model.ts';

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

    const settled = meansTensorrt(options) ? await settle(model, form, out, options) : success({ options });
    if (!settled.ok) return failure(...read.diagnostics, ...settled.diagnostics);
    const lowered = lowerModel(model, form, settled.value.options);
    if (lowered.outcome === 'stopped') {
      return success({
        folder: undefined,
        files: [],
        passes: lowered.passes,
        stopped: printGraph(lowered.graph),
        engines: undefined,
      });
    }
    if (lowered.outcome === 'failed') return failure(...lowered.diagnostics);
    onProgress?.({ step: 'write' });
    const written = await write(model, form, out, lowered, settled.value);
    return withDiagnostics(written, [...read.diagnostics, ...settled.diagnostics]);
  } catch (error) {
    if (signal?.aborted) return failure(interrupted(options.out ?? basename(options.model)));
    throw error;
  }
}

/** Options with nothing left to choose, and for TensorRT what was chosen. */
interface Settled {
  readonly options: CompileOptions;
  readonly choice?: TensorrtChoice;
}

/** What TensorRT's version decides is decided before a pass runs. */
async function settle(model: SourceModel, form: Form, out: string, options: CompileOptions): Promise<Result<Settled>> {
  const chosen = await chooseTensorrt(model, form, out, options);
  if (!chosen.ok) return chosen;
  const tensorrt = { ...options.tensorrt, tensorrtVersion: formatVersion(chosen.value.version) };
  return success({ options: { ...options, tensorrt }, choice: chosen.value }, chosen.diagnostics);
}

/** The lowered graphs as a package. */
async function write(
  model: SourceModel,
  form: Form,
  out: string,
  { graphs, passes }: Extract<LoweredModel, { outcome: 'done' }>,
  { options, choice }: Settled,
): Promise<Result<CompileResult>> {
  const { name: dialect, spec, attention } = dialectFor(options);
  const compute = options.precision ?? 'f32';
  const strategy = model.lora && strategyOf(passes);
  const onnx: OnnxFile[] = [];
  for (const [i, { file, graph }] of graphs.entries()) {
    onnx.push(
      lowerToOnnx(graph, {
        dialect,
        spec,
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
  const repository = options.target === 'triton' ? repositoryFolder(model.name) : undefined;
  const engines =
    choice && planPackageEngines(model, form, { graphs, onnx, folder: repository }, { options, choice, attention });
  const facts: PackageFacts = {
    rtc: rtcVersion(),
    form,
    target: options.target ?? 'onnx',
    dialect,
    precision: { compute, weights: options.writeWeights ? 'written' : 'checkpoint' },
    passes: passes.map(({ name, branch }) => (branch === undefined ? name : `${branch}-${name}`)),
    loraStrategy: strategy,
    graphs: graphs.map(({ graph }) => graph),
    ...(form === 'depth-batched' && { pages: pagesOf(options) }),
    ...(engines && { tensorrt: engines.facts }),
  };
  const layout = options.layout ?? 'rtc';
  const driver = repository === undefined ? success([]) : await repositoryFiles({ model, form, facts, onnx, options });
  if (!driver.ok) return driver;
  const written = await writePackage({
    model,
    onnx,
    layout,
    folder: repository,
    extra: [
      ...driver.value,
      ...(options.bindings ? [await bindingsFile(model, facts, onnx, layout, repository)] : []),
      ...(engines ? [engines.script] : []),
    ],
    facts,
    out,
    copyWeights: options.copyWeights,
    checksum: options.checksum,
    ...(choice?.timingCache !== undefined && {
      unlisted: [{ path: timingCacheName, from: resolve(choice.timingCache) }],
    }),
    signal: options.signal,
    onProgress: options.onProgress,
  });
  if (!written.ok) return written;
  const { folder, manifest, sizes } = written.value;
  const built = engines && (await buildPackageEngines(out, manifest, engines, { options, choice }));
  const all = [...sizes, ...(built?.sizes ?? [])];
  const files = [...new Map(all)]
    .map(([path, bytes]) => ({ path, bytes, linked: manifest.files[path]?.origin === 'checkpoint' }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  const diagnostics = [...written.diagnostics, ...(built?.diagnostics ?? [])];
  return success({ folder, files, passes, stopped: undefined, engines: built?.report }, diagnostics);
}

async function bindingsFile(
  model: SourceModel,
  { form, graphs, rtc }: PackageFacts,
  onnx: readonly OnnxFile[],
  layout: Layout,
  folder: string | undefined,
): Promise<{ readonly path: string; readonly bytes: Uint8Array }> {
  const described = onnx.map(({ name }, i) => {
    return [
      posix.join(folder ?? (layout === 'huggingface' ? 'onnx' : ''), name),
      describeInterface(graphs[i]!),
    ] as const;
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
