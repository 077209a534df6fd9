import type { Batching, Core, CoreOptions } from '../runtime/depth-batched/core.ts';
import type { ExitRule } from '../runtime/depth-batched/request.ts';
import type { StepModel } from '../runtime/depth-batched/step-model.ts';
import type { LoadedPackage } from '../runtime/load-package.ts';
import type { BenchRun, VariantKind } from './bench-document.ts';
import { boundsOf } from './bounds.ts';
import { type Contestant, contestant } from './contestant.ts';
import { describeVariant, steadyRates } from './describe-variant.ts';
import { doubtsOf } from './doubts.ts';
import { fullDepthSamples } from './full-depth-samples.ts';
import { type PageShare, sharePages } from './page-share.ts';
import { type ProbeSamples, probeStep } from './probe.ts';
import { meanOf, spreadOf, sumOf } from './statistics.ts';
import { type SteadyState, steadyState, steadySteps } from './steady-state.ts';
import { stepTimes } from './step-times.ts';
import { type Round, takeTurns } from './take-turns.ts';
import { unrolledContestant } from './unrolled-contestant.ts';
import type { WorkItem } from './workload.ts';

/** What is measured in one run, and for how long. */
export interface MeasureOptions {
  readonly model: StepModel;
  readonly makeCore: (model: StepModel, options: CoreOptions) => Core;
  readonly workload: readonly WorkItem[];
  /** How the document names workload and policies. */
  readonly described: Omit<BenchRun['workload'], 'maxRows' | 'maxSequences' | 'rounds'>;
  readonly core: Omit<CoreOptions, 'batching' | 'threshold'> & { readonly maxSequences: number };
  /** Decides where sequences without a trace leave; with traces, a variant of its own beside the others. */
  readonly threshold: number | undefined;
  readonly unrolled: LoadedPackage | undefined;
  readonly rounds: number;
  /** How often a round times each part of a step, at least. */
  readonly probeRepeats: number;
  /** Time that a round may go on timing heads, as a share of what the contestants took. */
  readonly probeShare: number;
  readonly timelineSteps: number;
  readonly deadline?: number;
  readonly signal?: AbortSignal;
  readonly onRound?: (round: number) => void;
}

interface VariantPlan {
  readonly kind: VariantKind;
  readonly label: string;
  readonly batching: Batching;
  readonly exit: (item: WorkItem) => ExitRule;
}

/** How many variants share the pages of a model at most: what a model's pages have to suffice for. */
export const mostVariants = 5;

/** Runs one workload in all variants, in turns, and says what came of it. */
export async function measureRun(options: MeasureOptions): Promise<BenchRun> {
  const { model, workload, core, makeCore, signal } = options;
  const { loops } = model.shape;
  const plans = variantPlans(options, loops);
  const shares = sharePages(model, mostVariants);
  const own = plans.map(({ kind, label, batching, exit }, i) =>
    contestant({
      kind,
      label,
      exit,
      workload,
      core: makeCore(shares[i]!, { ...core, batching }),
      maxRows: core.maxRows,
    }),
  );
  const contestants = options.unrolled ? [...own, unrolledContestant(options.unrolled, workload, core.maxRows)] : own;
  const depthWise = plans.findIndex(({ kind }) => kind === 'depth-wise');
  const probes: ProbeSamples[] = [];
  const rounds = await takeTurns({
    ...options,
    contestants,
    tokens: sumOf(workload.map(({ newTokens }) => newTokens)),
    probe: async (turns) => {
      if (signal?.aborted) return;
      const samples = await probeRound(options, own[depthWise]!, shares[depthWise]!, turns);
      if (samples !== undefined) probes.push(samples);
    },
  });
  return describeRun(options, {
    plans,
    contestants,
    rounds,
    probes,
    propagating: contestants.map((_, i) => (i < own.length ? shares[i]!.propagating() : 0)),
  });
}

function variantPlans({ workload, threshold }: MeasureOptions, loops: number): readonly VariantPlan[] {
  const traced = workload.some(({ exits }) => exits !== undefined);
  const exit = (item: WorkItem) => exitOf(item, threshold);
  const plans: VariantPlan[] = [
    {
      kind: 'full-depth',
      label: 'full depth',
      batching: 'sequence-wise',
      exit: () => ({ kind: 'fixed', loop: loops }),
    },
    { kind: 'sequence-wise', label: 'sequence-wise, waits for the deepest', batching: 'sequence-wise', exit },
    { kind: 'sequence-wise-shrink', label: 'sequence-wise, shrinks', batching: 'sequence-wise-shrink', exit },
    { kind: 'depth-wise', label: 'depth-wise', batching: 'depth-wise', exit },
  ];
  if (traced && threshold !== undefined) {
    const label = `depth-wise, threshold ${threshold.toPrecision(3)}`;
    plans.push({
      kind: 'depth-wise-threshold',
      label,
      batching: 'depth-wise',
      exit: (item) => exitOf({ ...item, exits: undefined }, threshold),
    });
  }
  return plans;
}

/** By its trace if it has one, else by the threshold. */
export function exitOf({ exits }: WorkItem, threshold: number | undefined): ExitRule {
  return exits === undefined ? { kind: 'threshold', threshold: threshold ?? 1 } : { kind: 'trace', exits };
}

/** Undefined while the scheduler had no step with all its rows. */
async function probeRound(
  { model, core: { maxRows }, probeRepeats, probeShare, signal }: MeasureOptions,
  depthWise: Contestant,
  share: PageShare,
  turns: number,
): Promise<ProbeSamples | undefined> {
  const rows = share.lastDecode();
  const steps = depthWise.steps.filter(({ kind }) => kind === 'decode');
  if (rows.length === 0 || steps.length === 0) return undefined;
  const mean = meanOf(steps.map(({ heads }) => heads));
  const counts = [Math.ceil(maxRows / 2), Math.round(mean), rows.length];
  return probeStep(model, rows, counts, {
    repeats: probeRepeats,
    milliseconds: probeShare * turns,
    ...(signal === undefined ? {} : { signal }),
  });
}

/** What came of a run. */
interface Outcome {
  readonly plans: readonly VariantPlan[];
  readonly contestants: readonly Contestant[];
  readonly rounds: readonly Round[];
  /** By rounds; none while no step had been run. */
  readonly probes: readonly ProbeSamples[];
  /** Milliseconds of each contestant that entries of skipped loops took. */
  readonly propagating: readonly number[];
}

function describeRun(options: MeasureOptions, { plans, contestants, rounds, probes, propagating }: Outcome): BenchRun {
  const { model, core, timelineSteps } = options;
  const { loops, prelude } = model.shape;
  const turnsOf = contestants.map((_, i) => rounds.map(({ turns }) => turns[i]!));
  const steadyRounds = rounds.flatMap((round, i) => (isSteady(round) ? [i] : []));
  const rates = turnsOf.map((turns) => steadyRates(turns, steadyRounds));
  // With a prelude, passes of full depth are not those of depth-wise steps: all rows run it together, or none.
  const atFullDepth = prelude > 0 ? [] : steadyRounds.map((round) => turnsOf[0]![round]!.steps);
  const times = probes.length === 0 ? undefined : stepTimes(probes, fullDepthSamples(atFullDepth, core.maxRows));
  const variants = contestants.map((each, i) =>
    describeVariant({
      contestant: each,
      turns: turnsOf[i]!,
      steadyRounds,
      fullDepth: i === 0 ? undefined : rates[0]!,
      times,
      propagating: propagating[i]!,
      loops,
      maxRows: core.maxRows,
      timelineSteps,
    }),
  );
  const states = turnsOf.map((turns) => steadyState(steadyRounds.flatMap((round) => turns[round]!.steps)));
  const boundsFor = (kind: VariantKind) => {
    const place = contestants.findIndex((each) => each.kind === kind);
    const [fullDepth, depthWise] = [states[0], states[place]] as (SteadyState | undefined)[];
    if (times === undefined || fullDepth === undefined || depthWise === undefined) return undefined;
    return boundsOf({ loops, maxRows: core.maxRows, fullDepth, depthWise, times });
  };
  const bounds = boundsFor('depth-wise');
  const boundsByThreshold = boundsFor('depth-wise-threshold');
  const unrolled = contestants.findIndex(({ kind }) => kind === 'unrolled');
  const others = rounds.flatMap(({ othersCpu }) => (othersCpu === undefined ? [] : [othersCpu]));
  const othersCpu = others.length === 0 ? undefined : { mean: meanOf(others), most: Math.max(...others) };
  const doubts = doubtsOf({
    rounds: rounds.length,
    steadyRounds: steadyRounds.length,
    othersCpu,
    bounds: [bounds, boundsByThreshold],
  });
  return {
    workload: {
      ...options.described,
      maxRows: core.maxRows,
      maxSequences: core.maxSequences,
      rounds: Math.max(1, rounds.length),
    },
    ...(doubts.length === 0 ? {} : { doubts: [...doubts] }),
    variants,
    sameTokens: sameTokens(contestants.slice(1, plans.filter(({ kind }) => kind !== 'depth-wise-threshold').length)),
    ...(bounds ? { bounds } : {}),
    ...(boundsByThreshold ? { boundsByThreshold } : {}),
    ...(unrolled >= 0 && steadyRounds.length > 0
      ? {
          unrolled: {
            package: options.unrolled!.manifest.name,
            slower: spreadOf(rates[unrolled]!.map((rate, i) => rate / rates[0]![i]!)),
          },
        }
      : {}),
    ...(othersCpu === undefined ? {} : { othersCpu }),
  };
}

/** Whether nearly all decoding steps of everybody were of the steady state; those that were are what counts. */
function isSteady({ turns }: Round): boolean {
  return turns.every(({ steps }) => {
    const steady = steadySteps(steps);
    const decoding = steps.filter(({ kind }) => kind === 'decode').length;
    return steady.some(({ tokens }) => tokens.length > 0) && steady.length >= nearlyAll * decoding;
  });
}

const nearlyAll = 0.8;

/** As far as all of them came. */
function sameTokens(contestants: readonly Contestant[]): boolean {
  const [first, ...others] = contestants.map((each) => each.sequences());
  return others.every((sequences) =>
    sequences.every(({ tokens, exits }, i) => {
      const common = Math.min(tokens.length, first![i]!.tokens.length);
      return (
        tokens.slice(0, common).every((token, j) => token === first![i]!.tokens[j]) &&
        exits.slice(0, common).every((exit, j) => exit === first![i]!.exits[j])
      );
    }),
  );
}
