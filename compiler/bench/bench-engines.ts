import type { Diagnostic } from '../../files/diagnostics.ts';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { readPackage } from '../../files/package.ts';
import type { StepProfile } from '../../files/step-profile.ts';
import type { Arrivals, LengthRange } from '../../measure/workload.ts';
import type { KvPolicy, RowOrder } from '../../runtime/depth-batched/core.ts';
import { sharesOfMean } from '../../simulate/exit-shares.ts';
import { drawLengths, drawRequests } from '../../simulate/read/draw-requests.ts';
import type { Simulation } from '../../simulate/read/read-simulation.ts';
import { type SimulationReport, simulate } from '../../simulate/simulate.ts';
import { stepCosts } from '../../simulate/step-costs.ts';
import { type EngineOptions, openEngines } from '../tensorrt/run/engine-session.ts';
import { type EngineTime, timeEngines } from '../tensorrt/time/time-engines.ts';

/** What `rtc bench --engine-times` was asked for. What is undefined has a default that fits the package. */
export interface BenchEnginesOptions extends EngineOptions {
  /** Positions behind each row of a decoding step; half of the largest by default. */
  readonly context?: number | undefined;
  /** Rows of a step that are simulated; by default those that the engines take. */
  readonly rows?: readonly number[] | undefined;
  readonly maxSequences?: number | undefined;
  readonly sequences?: number | undefined;
  readonly promptTokens?: LengthRange | undefined;
  readonly newTokens?: LengthRange | undefined;
  readonly arrivals: Arrivals;
  /** Loops of a token on average; by default the shares that the engines were tuned for. */
  readonly meanLoops?: number | undefined;
  readonly kvPolicy: KvPolicy;
  readonly rowOrder: RowOrder;
  readonly prefillChunk?: number | undefined;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (step: string) => void;
}

/** Times of engines on this GPU, and what batching comes to with them. */
export interface EngineBench {
  readonly executedBy: string;
  readonly times: readonly EngineTime[];
  /** As `rtc simulate` takes it: the whole document can be named there. */
  readonly profile: StepProfile;
  readonly simulation: SimulationReport;
}

/**
 * Times the engines of a package through trtexec and simulates, with these times, the ways to batch.
 * @param folder of the package, as the user names it
 */
export async function benchEngines(folder: string, options: BenchEnginesOptions): Promise<Result<EngineBench>> {
  const { signal, onProgress } = options;
  const read = await readPackage(folder, { check: 'sizes', ...(signal && { signal }) });
  if (!read.ok) return read;
  const { manifest } = read.value;
  const problems =
    manifest.form === 'depth-batched' ? beyondEngines(folder, manifest, options) : [wrongForm(folder, manifest)];
  if (problems.length > 0) return failure(...problems);
  const opened = await openEngines(folder, manifest, options);
  if (!opened.ok) return opened;
  const session = opened.value;
  try {
    const { maxContext } = session.facts.policy;
    const context = options.context ?? Math.floor(maxContext / 2);
    const onCall = (what: string, call: number, calls: number) => onProgress?.(`trtexec ${call} of ${calls}: ${what}`);
    const timed = await timeEngines(manifest, session, { context, onCall });
    if (!timed.ok) return signal?.aborted ? failure(interrupted(folder)) : timed;
    const { times, headShare } = timed.value;
    const executedBy = session.machine();
    const profile = { ...timed.value.profile, source: `${manifest.name}, ${executedBy}` };
    const simulation = await simulate(scenarioOf(manifest, profile, options), {
      ...(signal && { signal }),
      onProgress: (step) => onProgress?.(`simulating ${step}`),
    });
    if (simulation === undefined) return failure(interrupted(folder));
    return success({ executedBy, times, profile, simulation }, [
      ...opened.diagnostics,
      ...limitsOf(profile, headShare, simulation),
    ]);
  } finally {
    await session.close();
  }
}

/** The package's policy with a workload as `rtc bench` has it when nothing is said. */
function scenarioOf(manifest: PackageManifest, profile: StepProfile, options: BenchEnginesOptions): Simulation {
  const { loops } = manifest.recursion;
  const policy = manifest.tensorrt!.policy;
  const exitsAfter = (manifest.exits?.after ?? []).filter((loop) => loop < loops);
  const exits = options.meanLoops === undefined ? policy.exits : sharesOfMean(options.meanLoops, loops, exitsAfter);
  const { arrivals, seed, kvPolicy, rowOrder } = options;
  const rows = options.rows ?? [policy.maxRows];
  const workload = {
    sequences: options.sequences ?? Math.max(256, 8 * Math.max(...rows)),
    promptTokens: options.promptTokens ?? { least: 32, most: 96 },
    newTokens: options.newTokens ?? { least: 64, most: 128 },
    arrivals: arrivals.kind === 'poisson' ? { kind: arrivals.kind, perSecond: arrivals.perSecond } : arrivals,
    seed,
  };
  const costs = stepCosts(profile);
  const requests = drawRequests(workload, drawLengths(workload, undefined), exits, costs.prompt !== undefined);
  const prefillChunk = Math.min(options.prefillChunk ?? policy.prefillChunk, policy.prefillChunk);
  return {
    name: manifest.name,
    profile,
    exits,
    fitting: undefined,
    scenarios: rows.map((maxRows) => ({
      ...{ loops, exitsAfter, costs, requests, maxRows, rowOrder, kvPolicy, prefillChunk },
      maxSequences: options.maxSequences ?? maxRows,
      decision: 'known',
    })),
  };
}

/** What is asked for and neither engines nor model have. */
function beyondEngines(
  folder: string,
  { recursion, exits, tensorrt }: PackageManifest,
  { rows = [], context, meanLoops }: BenchEnginesOptions,
): readonly Diagnostic[] {
  const { maxRows, maxContext } = tensorrt?.policy ?? {};
  const problems: Diagnostic[] = [];
  const error = (message: string, hint: string) =>
    problems.push({ severity: 'error', code: 'beyond-engines', location: { file: folder }, message, hint });
  const most = Math.max(...rows);
  if (maxRows !== undefined && most > maxRows) {
    error(`The engines take ${maxRows} rows, and ${most} are asked for.`, `Compile again with --max-rows ${most}.`);
  }
  if (maxContext !== undefined && context !== undefined && context >= maxContext) {
    const message = `The engines take ${maxContext} positions, and a row is to have ${context} behind it.`;
    error(message, `Give --context ${maxContext - 1} or less.`);
  }
  const first = Math.min(...(exits?.after ?? []), recursion.loops);
  if (meanLoops !== undefined && (meanLoops < first || meanLoops > recursion.loops)) {
    const message = `Tokens leave after ${meanLoops} loops on average, and the model's leave behind loop ${first} to ${recursion.loops}.`;
    error(message, `Give --mean-loops a number from ${first} to ${recursion.loops}.`);
  }
  return problems;
}

/** What the numbers do not say. */
function limitsOf(
  { host }: StepProfile,
  headShare: number,
  { meanExit, loops }: SimulationReport,
): readonly Diagnostic[] {
  const share = `${Math.round(100 * headShare)} %`;
  const head = `No engine runs a step without a head. Of a step with one row ${share} were taken to be its head's: its share of the bytes of weights that such a step reads.`;
  const note = (code: string, message: string): Diagnostic => ({ severity: 'note', code, message });
  const noExits = `Every token was taken to run all ${loops} loops, as the engines were tuned for, so that there is nothing to gain.`;
  return [
    ...(meanExit < loops || loops === 1
      ? []
      : [{ ...note('no-early-exits', noExits), hint: 'Say where tokens leave: --mean-loops.' }]),
    note('head-estimated', head),
    ...(host === undefined
      ? [
          note(
            'host-not-counted',
            'Times are those of the GPU alone: copies, sampling and scheduling cost nothing here.',
          ),
        ]
      : []),
  ];
}

function wrongForm(folder: string, { form }: PackageManifest): Diagnostic {
  return {
    severity: 'error',
    code: 'wrong-form',
    location: { file: folder },
    message: `"${folder}" has the form ${form}; steps of rows at different depths need the form depth-batched.`,
    hint: 'Compile the model with --target tensorrt and no --form.',
  };
}

function interrupted(folder: string): Diagnostic {
  const message = 'Interrupted before everything was timed.';
  return { severity: 'error', code: 'interrupted', location: { file: folder }, message };
}
