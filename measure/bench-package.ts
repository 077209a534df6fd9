import { availableParallelism } from 'node:os';
import { failure, type Result, success } from '../files/diagnostics.ts';
import { type Package, propagateGraph, readPackage } from '../files/package.ts';
import { createCore } from '../runtime/depth-batched/create-core.ts';
import { openStepModel } from '../runtime/depth-batched/open-step-model.ts';
import type { StepModel, StepShape } from '../runtime/depth-batched/step-model.ts';
import { stepShape } from '../runtime/depth-batched/step-shape.ts';
import { machineMemory, pageBytesOf } from '../runtime/engine/engine-limits.ts';
import { maxPositions } from '../runtime/generate-options.ts';
import { type LoadedPackage, loadPackage } from '../runtime/load-package.ts';
import type { BenchDocument, BenchRun } from './bench-document.ts';
import type { BenchOptions } from './bench-options.ts';
import { calibrateThreshold } from './calibrate-threshold.ts';
import { describeEnvironment, describePackage } from './describe-package.ts';
import { estimateRuns } from './estimate-time.ts';
import { measureEngine } from './measure-engine.ts';
import { measureOnText, qualityRows } from './measure-on-text.ts';
import { exitOf, measureRun, mostVariants } from './measure-run.ts';
import { type Plan, planWorkload, sequencesFor } from './plan-workload.ts';
import { profileStep } from './profile-step.ts';

/** Steps of a timeline: more than a picture shows. */
const timelineSteps = 400;

/** How long the engine is watched. */
const engineMilliseconds = 30_000;

/** What all measurements of a package have in common. */
interface Setting {
  readonly source: Package;
  readonly shape: StepShape;
  readonly plan: Plan;
  readonly options: BenchOptions;
  readonly threads: number;
}

/** A run, and by what tokens left in it that no trace told. */
interface Measured {
  readonly run: BenchRun;
  readonly threshold: number | undefined;
}

/**
 * Measures a package of the form `depth-batched`, as asked. Fails when package, prompts or texts are not what they should
 * be, and when ONNX Runtime is missing or refuses a graph; throws a RuntimeFailure when it fails in the middle.
 * A signal that aborts ends it early, with what there is.
 * @param folder as the user names it
 * @param rtc version, for the document
 */
export async function benchPackage(folder: string, options: BenchOptions, rtc: string): Promise<Result<BenchDocument>> {
  const read = await readPackage(folder, { check: 'sizes' });
  if (!read.ok) return read;
  const shape = stepShape(read.value.manifest);
  if (!shape.ok) return shape;
  const plan = await planWorkload(read.value, shape.value, options);
  if (!plan.ok) return plan;
  const threads = options.threads ?? availableParallelism();
  const setting: Setting = { source: read.value, shape: shape.value, plan: plan.value, options, threads };
  options.onProgress?.('loading');
  const inProcess = await measureInProcess(setting);
  if (!inProcess.ok) return inProcess;
  const { measured, ...others } = inProcess.value;
  const runs = options.engine ? await measureEngines(setting, measured) : success(measured.map(({ run }) => run));
  if (!runs.ok) return runs;
  return success({
    version: 1,
    environment: await describeEnvironment(rtc, threads),
    package: await describePackage(read.value, shape.value),
    runs: [...runs.value],
    ...others,
  });
}

/** All that one session is enough for. */
async function measureInProcess(
  setting: Setting,
): Promise<Result<{ readonly measured: readonly Measured[] } & Pick<BenchDocument, 'profile' | 'quality'>>> {
  const { source, options, threads } = setting;
  const unrolled = await openUnrolled(setting);
  if (!unrolled.ok) return unrolled;
  try {
    const pages = pagesFor(setting);
    if (!pages.ok) return pages;
    const endless = await estimateRuns(setting);
    if (!endless.ok) return endless;
    const opened = await openStepModel(source, { ...pages.value, threads, warm: true });
    if (!opened.ok) return opened;
    const model = opened.value;
    try {
      const measured = options.runs ? await measureRuns(setting, model, unrolled.value) : [];
      const profile = options.profile ? await measureProfile(setting, model, measured) : undefined;
      const quality = options.quality && !options.signal?.aborted ? await measureText(setting, model) : undefined;
      return success({ measured, ...(profile && { profile }), ...(quality && { quality }) });
    } finally {
      await model.close();
    }
  } finally {
    await unrolled.value?.close();
  }
}

async function measureRuns(
  { plan, options }: Setting,
  model: StepModel,
  unrolled: LoadedPackage | undefined,
): Promise<readonly Measured[]> {
  const { rows, signal, maxSeconds, rounds, onProgress } = options;
  const measured: Measured[] = [];
  for (const [i, maxRows] of rows.entries()) {
    if (signal?.aborted) break;
    const { workload, described } = plan.runs[i]!;
    const core = { ...plan.core, maxRows, maxSequences: sequencesFor(maxRows, options) };
    if (plan.threshold === 'auto') onProgress?.('looking for a threshold');
    const threshold =
      plan.threshold === 'auto' ? await calibrateThreshold(model, workload, core, plan.meanLoops) : plan.threshold;
    const decided = threshold !== undefined && workload[0]?.exits === undefined;
    const run = await measureRun({
      model,
      makeCore: createCore,
      workload,
      described: decided ? { ...described, exits: `threshold ${Number(threshold.toPrecision(4))}` } : described,
      core,
      threshold,
      unrolled,
      rounds,
      probeRepeats: 3,
      probeShare: 0.15,
      timelineSteps,
      ...(maxSeconds === undefined ? {} : { deadline: performance.now() + (1000 * maxSeconds) / rows.length }),
      ...(signal === undefined ? {} : { signal }),
      onRound: (round) => onProgress?.(`measuring ${maxRows} rows`, round, rounds),
    });
    measured.push({ run, threshold });
  }
  return measured;
}

async function measureProfile(
  { source, plan, options }: Setting,
  model: StepModel,
  measured: readonly Measured[],
): Promise<BenchDocument['profile']> {
  const { signal, rounds, onProgress } = options;
  const profile = await profileStep(model, {
    maxRows: Math.max(64, ...options.rows),
    maxPromptTokens: Math.min(256, maxPositions(source.manifest)),
    context: plan.meanContext,
    rounds,
    propagate: propagateGraph(source.manifest) !== undefined,
    ...(signal === undefined ? {} : { signal }),
    onRound: (round) => onProgress?.('timing the parts of a step', round, rounds),
  });
  const steady = measured.at(-1)?.run.variants.find(({ kind }) => kind === 'depth-wise')?.steady;
  return {
    source: `${source.manifest.name}, rtc bench`,
    ...profile,
    ...(steady === undefined ? {} : { host: steady.host }),
  };
}

function measureText({ source, plan, options }: Setting, model: StepModel): Promise<BenchDocument['quality']> {
  const { signal, onProgress } = options;
  return measureOnText(model, options.quality!.text, plan.windows, {
    propagate: propagateGraph(source.manifest) !== undefined,
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}

/** Through engines, one after the other, once the session of the process is closed. */
async function measureEngines(
  { source, plan, options, threads }: Setting,
  measured: readonly Measured[],
): Promise<Result<readonly BenchRun[]>> {
  const runs: BenchRun[] = [];
  for (const [i, { run, threshold }] of measured.entries()) {
    const { maxRows, maxSequences } = run.workload;
    options.onProgress?.(`measuring the engine at ${maxRows} rows`);
    const engine = options.signal?.aborted
      ? success(undefined)
      : await measureEngine(source, plan.runs[i]!.workload, {
          core: { ...plan.core, maxRows, maxSequences },
          exit: (item) => exitOf(item, threshold),
          milliseconds: engineMilliseconds,
          threads,
          ...(options.signal === undefined ? {} : { signal: options.signal }),
        });
    if (!engine.ok) return engine;
    runs.push(engine.value === undefined ? run : { ...run, engine: engine.value });
  }
  return success(runs);
}

/**
 * Enough for all variants together, and for a text, so that none of them ever has to wait for pages. Fails when that is
 * more than the memory there is.
 */
function pagesFor({ shape, plan }: Setting): Result<{ readonly pages: number; readonly boundaryPages: number }> {
  const spansOf = (positions: number) => Math.ceil(positions / shape.pageSize);
  // The division among variants rounds down: one more for each.
  const variants = (spansOf(plan.longest) * plan.mostSequences + 1) * mostVariants;
  const text = spansOf(plan.windows[0]?.length ?? 0) * qualityRows;
  const spans = Math.max(variants, text);
  const boundary = shape.prelude + shape.coda > 0;
  const bytes = pageBytesOf(shape);
  const needed = spans * (shape.loops * bytes.block + bytes.boundary);
  const memory = machineMemory();
  if (needed > memory) {
    return failure({
      severity: 'error',
      code: 'too-much-memory',
      message: `Pages for all variants would take ${needed} bytes, and this machine has ${memory}.`,
      hint: 'Ask for fewer --rows, or for shorter --prompt-tokens and --new-tokens.',
    });
  }
  return success({ pages: spans * shape.loops, boundaryPages: boundary ? spans : 0 });
}

async function openUnrolled({ source, options, threads }: Setting): Promise<Result<LoadedPackage | undefined>> {
  if (options.unrolled === undefined || !options.runs) return success(undefined);
  const loaded = await loadPackage(options.unrolled, { threads });
  if (!loaded.ok) return loaded;
  const { form, name } = loaded.value.manifest;
  if (form === 'unrolled' && name === source.manifest.name) return loaded;
  await loaded.value.close();
  return failure({
    severity: 'error',
    code: 'other-model',
    location: { file: options.unrolled },
    message:
      `This is "${name}" in the form "${form}"; "${source.manifest.name}" in the form "unrolled" was expected, ` +
      'to compare full depth with.',
    hint: 'Compile the same model with --form unrolled.',
  });
}
