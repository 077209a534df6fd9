import { availableParallelism } from 'node:os';
import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import { propagateGraphName } from '../files/manifest.ts';
import { type Package, readPackage } from '../files/package.ts';
import { createCore } from '../runtime/depth-batched/create-core.ts';
import { openStepModel } from '../runtime/depth-batched/open-step-model.ts';
import type { StepModel, StepShape } from '../runtime/depth-batched/step-model.ts';
import { stepShape } from '../runtime/depth-batched/step-shape.ts';
import { maxPositions } from '../runtime/generate-options.ts';
import { type LoadedPackage, loadPackage } from '../runtime/load-package.ts';
import type { BenchDocument, BenchRun } from './bench-document.ts';
import type { BenchOptions } from './bench-options.ts';
import { calibrateThreshold } from './calibrate-threshold.ts';
import { describeEnvironment, describePackage } from './describe-package.ts';
import { measureEngine } from './measure-engine.ts';
import { exitOf, measureRun, mostVariants } from './measure-run.ts';
import { type Plan, planWorkload } from './plan-workload.ts';
import { profileStep } from './profile-step.ts';

/** Steps of a timeline: more than a picture shows. */
const timelineSteps = 400;

/** How long the engine is watched. */
const engineMilliseconds = 10_000;

/**
 * Measures a package of the form `depth-batched`, as asked. Fails when package, prompts or traces are not what they
 * should be, and when ONNX Runtime is missing or refuses a graph; throws a RuntimeFailure when it fails in the middle.
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
  options.onProgress?.('loading');
  const unrolled = await openUnrolled(read.value, options);
  if (!unrolled.ok) return unrolled;
  try {
    const opened = await openStepModel(read.value, { ...pagesFor(shape.value, plan.value), ...threadsOf(options) });
    if (!opened.ok) return opened;
    return await measure(read.value, opened.value, unrolled.value, plan.value, options, rtc, plan.diagnostics);
  } finally {
    await unrolled.value?.close();
  }
}

async function measure(
  source: Package,
  model: StepModel,
  unrolled: LoadedPackage | undefined,
  plan: Plan,
  options: BenchOptions,
  rtc: string,
  diagnostics: readonly Diagnostic[],
): Promise<Result<BenchDocument>> {
  const { signal, onProgress } = options;
  let runs: BenchRun[] = [];
  let profile: BenchDocument['profile'];
  const thresholds: (number | undefined)[] = [];
  try {
    for (const [i, maxRows] of (options.runs ? options.rows : []).entries()) {
      if (signal?.aborted) break;
      const { workload, described } = plan.runs[i]!;
      const core = { ...plan.core, maxRows, maxSequences: options.maxSequences ?? maxRows };
      if (plan.threshold === 'auto') onProgress?.('looking for a threshold');
      const threshold =
        plan.threshold === 'auto' ? await calibrateThreshold(model, workload, core, plan.meanLoops) : plan.threshold;
      thresholds.push(threshold);
      const budget = options.maxSeconds === undefined ? undefined : (1000 * options.maxSeconds) / options.rows.length;
      const measured = await measureRun({
        model,
        makeCore: createCore,
        workload,
        described:
          threshold === undefined || workload[0]?.exits ? described : { ...described, exits: byThreshold(threshold) },
        core,
        threshold,
        unrolled,
        rounds: options.rounds,
        probeRepeats: 3,
        timelineSteps,
        ...(budget === undefined ? {} : { deadline: performance.now() + budget }),
        ...(signal === undefined ? {} : { signal }),
        onRound: (round) => onProgress?.(`measuring ${maxRows} rows`, round, options.rounds),
      });
      runs.push(measured);
    }
    if (options.profile && !signal?.aborted) {
      profile = {
        source: `${source.manifest.name}, rtc bench`,
        ...(await profileStep(model, {
          maxRows: Math.max(64, ...options.rows),
          maxPromptTokens: Math.min(256, maxPositions(source.manifest)),
          context: plan.meanContext,
          rounds: options.rounds,
          propagate: propagateGraphName in source.manifest.graphs,
          ...(signal === undefined ? {} : { signal }),
          onRound: (round) => onProgress?.('timing the parts of a step', round, options.rounds),
        })),
        ...hostOf(runs),
      };
    }
  } finally {
    await model.close();
  }
  if (options.engine) {
    const withEngine: BenchRun[] = [];
    for (const [i, run] of runs.entries()) {
      onProgress?.(`measuring the engine at ${options.rows[i]} rows`);
      const core = { ...plan.core, maxRows: options.rows[i]!, maxSequences: run.workload.maxSequences };
      const engine = signal?.aborted
        ? success(undefined)
        : await measureEngine(source, plan.runs[i]!.workload, {
            core,
            exit: (item) => exitOf(item, thresholds[i]),
            milliseconds: engineMilliseconds,
            ...threadsOf(options),
            ...(signal === undefined ? {} : { signal }),
          });
      if (!engine.ok) return engine;
      withEngine.push(engine.value === undefined ? run : { ...run, engine: engine.value });
    }
    runs = withEngine;
  }
  return success(
    {
      version: 1,
      environment: await describeEnvironment(rtc, options.threads ?? availableParallelism()),
      package: await describePackage(source, model.shape),
      runs,
      ...(profile === undefined ? {} : { profile }),
    },
    diagnostics,
  );
}

function byThreshold(threshold: number): string {
  return `threshold ${Number(threshold.toPrecision(4))}`;
}

/** Enough for all variants together, so that none of them ever has to wait for pages. */
function pagesFor(shape: StepShape, { core, longest, mostSequences }: Plan) {
  const spans = Math.ceil(longest / shape.pageSize) * mostSequences * mostVariants;
  const depths = core.kvPolicy === 'shared' ? 1 : shape.loops;
  // The division among variants rounds down.
  const pages = (spans + mostVariants) * depths;
  return { pages, boundaryPages: shape.prelude + shape.coda > 0 ? spans + mostVariants : 0 };
}

function threadsOf({ threads }: BenchOptions): { readonly threads: number } {
  return { threads: threads ?? availableParallelism() };
}

async function openUnrolled({ manifest }: Package, options: BenchOptions): Promise<Result<LoadedPackage | undefined>> {
  if (options.unrolled === undefined) return success(undefined);
  const loaded = await loadPackage(options.unrolled, threadsOf(options));
  if (!loaded.ok) return loaded;
  const other = loaded.value.manifest;
  if (other.form === 'unrolled' && other.name === manifest.name) return loaded;
  await loaded.value.close();
  return failure({
    severity: 'error',
    code: 'other-model',
    location: { file: options.unrolled },
    message:
      `This is "${other.name}" in the form "${other.form}"; ` +
      `"${manifest.name}" in the form "unrolled" was expected, to compare full depth with.`,
    hint: 'Compile the same model with --form unrolled.',
  });
}

function hostOf(runs: readonly BenchRun[]): { readonly host?: number } {
  const steady = runs.at(-1)?.variants.find(({ kind }) => kind === 'depth-wise')?.steady;
  return steady === undefined ? {} : { host: steady.host };
}
