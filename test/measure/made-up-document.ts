import {
  type BenchDocument,
  type BenchRun,
  type BenchVariant,
  benchDocumentSchema,
  type VariantKind,
} from '../../measure/bench-document.ts';
import { sharesOfMean } from '../../simulate/exit-shares.ts';
import { expectedRows } from '../../simulate/expected-rows.ts';
import { randomNumbers } from '../../simulate/random-numbers.ts';
import type { Scenario, SimulatedBatching } from '../../simulate/scenario.ts';
import { type SimulatedStep, stepDuration } from '../../simulate/schedule/simulated-step.ts';
import { simulatedSteps } from '../../simulate/schedule/simulated-steps.ts';
import { stepCosts } from '../../simulate/step-costs.ts';
import { stepTally } from '../../simulate/tally-steps.ts';

/** What a made-up document is like. */
export interface MadeUp {
  readonly loops: number;
  readonly meanExit: number;
  readonly maxRows: readonly number[];
  readonly sequences: number;
  readonly newTokens: readonly [number, number];
  readonly promptTokens: number;
  readonly timelineSteps?: number;
  readonly kvPolicy?: Scenario['kvPolicy'];
}

const profile = {
  source: 'nobody measured this',
  context: 128,
  passes: [
    { rows: 1, milliseconds: 1.53 },
    { rows: 4, milliseconds: 2.25 },
    { rows: 8, milliseconds: 3.13 },
    { rows: 16, milliseconds: 4.91 },
    { rows: 32, milliseconds: 8.03 },
  ],
  heads: [
    { heads: 1, milliseconds: 0.42 },
    { heads: 8, milliseconds: 0.65 },
    { heads: 32, milliseconds: 1.15 },
  ],
  prompt: [
    { tokens: 1, milliseconds: 1.6 },
    { tokens: 64, milliseconds: 9 },
  ],
  propagate: [{ tokens: 1, milliseconds: 0.2 }],
  host: 0.07,
};

const labels: readonly (readonly [VariantKind, string, SimulatedBatching])[] = [
  ['full-depth', 'full depth', 'full-depth'],
  ['sequence-wise', 'sequence-wise, rows wait', 'sequence-wise'],
  ['sequence-wise-shrink', 'sequence-wise, rows dropped', 'sequence-wise-shrink'],
  ['depth-wise', 'depth-wise', 'depth-wise'],
  ['depth-wise-threshold', 'depth-wise, threshold 0.7', 'depth-wise'],
];

/** A document such as rtc bench makes, of steps that were simulated: for tests and for looking at pages, not for claims. */
export function madeUpDocument(madeUp: MadeUp): BenchDocument {
  const document: BenchDocument = {
    version: 1,
    environment: {
      rtc: '0.0.0',
      node: '20.20.0',
      onnxRuntime: '1.30.0',
      platform: 'linux-x64',
      cpu: 'Made Up CPU at 0 GHz',
      cores: 2,
      threads: 2,
    },
    package: {
      name: 'made-up-depth-batched',
      dialect: 'portable',
      precision: 'f32',
      prelude: 0,
      block: 4,
      loops: madeUp.loops,
      coda: 0,
      vocabulary: 32_000,
      storedParameters: 123_000_000,
      weightBytes: 492_000_000,
    },
    runs: madeUp.maxRows.map((maxRows) => madeUpRun(madeUp, maxRows)),
    profile,
    quality: {
      text: 'a text that nobody read',
      tokens: 50_000,
      rows: [
        ...['last-exited', 'propagate', 'complete'].flatMap((kvPolicy, p) =>
          [0.3, 0.5, 0.7, 0.8, 0.9, 1].map((threshold, t) => ({
            threshold,
            kvPolicy,
            perplexity: 5.05 + (5 - t) ** 2.2 * (0.03 - 0.007 * p),
            agreement: 1 - (5 - t) * (0.045 - 0.01 * p),
            meanExit: madeUp.loops - (5 - t) * 0.17 * (madeUp.loops - 1),
            tokensPerSecond: 1500 - 130 * t,
          })),
        ),
        ...Array.from({ length: madeUp.loops - 1 }, (_, i) => ({
          loop: i + 1,
          kvPolicy: 'last-exited',
          perplexity: 6.5 - (i + 1) / madeUp.loops,
          agreement: 0.6 + (0.3 * (i + 1)) / madeUp.loops,
          meanExit: i + 1,
          tokensPerSecond: 1600 - (900 * i) / madeUp.loops,
        })),
      ],
    },
  };
  return benchDocumentSchema.parse(document);
}

function madeUpRun(madeUp: MadeUp, maxRows: number): BenchRun {
  const { loops, meanExit, sequences } = madeUp;
  const random = randomNumbers(5);
  const shares = sharesOfMean(meanExit, loops, loops === 1 ? [] : Array.from({ length: loops - 1 }, (_, i) => i + 1));
  const draw = () => {
    let at = random();
    const exit = shares.findIndex((share) => {
      at -= share;
      return at < 0;
    });
    return exit < 0 ? loops : exit + 1;
  };
  const [least, most] = madeUp.newTokens;
  const requests = Array.from({ length: sequences }, () => {
    const tokens = least + Math.floor(random() * (most - least + 1));
    return { arrival: 0, promptTokens: madeUp.promptTokens, exits: Array.from({ length: tokens - 1 }, draw) };
  });
  const scenario: Scenario = {
    loops,
    exitsAfter: [],
    costs: stepCosts(profile),
    requests,
    maxRows,
    maxSequences: maxRows,
    rowOrder: 'oldest',
    kvPolicy: madeUp.kvPolicy ?? 'last-exited',
    decision: 'known',
    prefillChunk: 64,
  };
  const variants = labels.map(([kind, label, batching]) =>
    madeUpVariant(scenario, kind, label, batching, madeUp.timelineSteps ?? 400),
  );
  const steady = (kind: VariantKind) => variants.find((each) => each.kind === kind)!.steady!.tokensPerSecond.median;
  const reached = steady('depth-wise') / steady('full-depth');
  const gain = loops / meanExit;
  const pass = scenario.costs.pass(maxRows);
  const head = scenario.costs.head(maxRows);
  const headsPerStep = expectedRows({ slots: maxRows, exits: shares }).steps[0]!.leaving.mean;
  const headOfStep = scenario.costs.head(headsPerStep);
  const gainWithHeads = (loops * pass + head) / (meanExit * (pass + headOfStep));
  return {
    workload: {
      sequences,
      promptTokens: { least: madeUp.promptTokens, mean: madeUp.promptTokens, most: madeUp.promptTokens },
      newTokens: { least, mean: (least + most) / 2, most },
      arrivals: { kind: 'at-once' },
      exits: `trace, ${meanExit.toFixed(2)} of ${loops} loops on average`,
      kvPolicy: scenario.kvPolicy,
      rowOrder: 'oldest',
      maxRows,
      maxSequences: maxRows,
      rounds: 5,
      seed: 0,
    },
    variants,
    sameTokens: true,
    bounds: {
      loops,
      meanExit,
      pass,
      head,
      headsPerStep,
      headOfStep,
      gain,
      gainWithHeads,
      reached,
      shareOfGain: reached / gain,
      shareOfGainWithHeads: reached / gainWithHeads,
      losses: [
        { what: 'head', gain: gain - gainWithHeads },
        { what: 'host', gain: (gainWithHeads - reached) * 0.7 },
        { what: 'empty-rows', gain: (gainWithHeads - reached) * 0.2 },
        { what: 'other', gain: (gainWithHeads - reached) * 0.1 },
      ],
    },
    othersCpu: { mean: 0.02, most: 0.1 },
  };
}

function madeUpVariant(
  scenario: Scenario,
  kind: VariantKind,
  label: string,
  batching: SimulatedBatching,
  timelineSteps: number,
): BenchVariant {
  // The head at every exit, for who has to ask.
  const own: Scenario =
    kind === 'depth-wise-threshold' ? { ...scenario, decision: 'confidence', exitsAfter: [1, 2] } : scenario;
  const steps = [...simulatedSteps(own, batching)];
  const tally = stepTally(own);
  for (const step of steps) tally.add(step);
  const result = tally.result();
  const spread = (median: number) => ({
    samples: [0.985, 0.99, 1, 1.006, 1.012].map((factor) => median * factor),
    median,
    low: median * 0.985,
    high: median * 1.012,
  });
  const counts = new Map<number, number>();
  for (const row of steps.flatMap(({ rows }) => rows)) {
    if (row.outcome !== 'stays') counts.set(row.depth + 1, (counts.get(row.depth + 1) ?? 0) + 1);
  }
  const { prompt, wait, ...breakdown } = result.breakdown;
  return {
    id: kind,
    kind,
    label,
    whole: true,
    tokensPerSecond: spread(result.tokensPerSecond),
    tokens: result.tokens,
    steps: result.steps,
    milliseconds: result.milliseconds,
    meanExit: result.meanExit,
    exits: Array.from({ length: scenario.loops }, (_, i) => ({ loop: i + 1, tokens: counts.get(i + 1) ?? 0 })),
    rowsPerStep: result.rowsPerStep,
    occupancy: result.occupancy,
    ...(result.timeToFirstToken && { timeToFirstToken: result.timeToFirstToken }),
    ...(result.latency && { latency: result.latency }),
    ...(result.steadyTokensPerSecond && {
      steady: {
        tokensPerSecond: spread(result.steadyTokensPerSecond),
        tokens: result.tokens,
        steps: result.steps,
        meanExit: result.meanExit,
        rowsPerStep: result.rowsPerStep,
        headsPerStep: 4,
        run: 5,
        host: scenario.costs.host,
        hostShare: breakdown.host / result.milliseconds,
      },
    }),
    breakdown: { ...breakdown, ...(prompt > 0 && { prompt }), ...(wait > 0 && { wait }) },
    timeline: { whole: steps.length <= timelineSteps, steps: steps.slice(0, timelineSteps).map(timelineStep) },
  };
}

function timelineStep(step: SimulatedStep) {
  return {
    start: step.start,
    duration: stepDuration(step),
    run: step.pass + step.head + step.cache,
    heads: step.heads,
    rows: step.rows.map(({ request, depth, role, outcome }): [number, number, typeof role, typeof outcome] => [
      request,
      depth,
      role,
      outcome,
    ]),
  };
}
