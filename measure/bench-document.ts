import { z } from 'zod';
import { stepProfileSchema } from '../files/step-profile.ts';

/*
 * `rtc bench` fills this; `rtc bench --json` prints it (version 1 stands in front), `rtc bench --html` draws it
 * (page/bench-page.ts), and both show what is there: every optional part may be left out. Times are milliseconds,
 * depths count from 0, loops from 1.
 */

const count = z.int().min(0);
const milliseconds = z.number().min(0);
const share = z.number().min(0).max(1);

/** How sequences shared steps in a variant, or which other graph ran. */
export const variantKinds = [
  'full-depth',
  'sequence-wise',
  'sequence-wise-shrink',
  'depth-wise',
  'depth-wise-threshold',
  'unrolled',
] as const;

export type VariantKind = (typeof variantKinds)[number];

const spread = z
  .object({
    samples: z.array(z.number()).min(1).describe('One a round, in the order in which they were measured.'),
    median: z.number(),
    low: z.number().describe('Least of the samples.'),
    high: z.number().describe('Largest of the samples.'),
  })
  .describe('A number that was measured several times.');

const percentiles = z
  .object({ p50: milliseconds, p90: milliseconds, p99: milliseconds, mean: milliseconds, max: milliseconds })
  .describe('Over all requests of the workload, in milliseconds.');

/**
 * What a row of a step was: a prompt's tokens, a token on its way, a token that runs on for its cache only (policy
 * complete), work done again behind a preemption, or a row that had left and only waits (sequence-wise).
 */
export const rowRoles = ['prompt', 'token', 'background', 'replay', 'idle'] as const;

export type RowRole = (typeof rowRoles)[number];

const timelineRow = z
  .tuple([count, count, z.enum(rowRoles), z.enum(['stays', 'leaves', 'ends'])])
  .describe('Request, depth from 0, role, and what came of it: it stays, it gave a token, its sequence ended with it.');

const timelineStep = z.object({
  start: milliseconds.describe('Since the first step of the timeline.'),
  duration: milliseconds.describe('Of the whole step.'),
  run: milliseconds.describe('Of it inside ONNX Runtime.'),
  heads: count.describe('Heads that were computed.'),
  rows: z.array(timelineRow).describe('In the order of the step.'),
});

const steady = z
  .object({
    tokensPerSecond: spread,
    gain: spread.optional().describe('Over full depth, round by round.'),
    tokens: count,
    steps: count,
    meanExit: z.number().min(1).describe('Of these tokens.'),
    rowsPerStep: z.number().min(0).describe('Rows that did work.'),
    headsPerStep: z.number().min(0),
    run: milliseconds.describe('Median of a step inside ONNX Runtime.'),
    host: milliseconds.describe('Median of the rest of a step.'),
    hostShare: share.describe('All time outside ONNX Runtime over all time.'),
  })
  .describe('Decoding steps with sequences still waiting, so that every row can be used; prompts are not counted.');

const variant = z.object({
  id: z.string().min(1).describe('Unique in the document.'),
  kind: z.enum(variantKinds),
  label: z.string().min(1).describe('For people: "depth-wise, heads every 2 passes".'),
  tokensPerSecond: spread.describe(
    'New tokens over time, prompts and waiting included; a round is an equal share of the tokens.',
  ),
  whole: z
    .boolean()
    .describe('False: the time that was given ended before the workload did, and this is the part that ran.'),
  tokens: count.describe('New tokens.'),
  steps: count.describe('Calls of the graph.'),
  milliseconds: milliseconds.describe("On the variant's own clock, which stands while others run: first step to last."),
  meanExit: z.number().min(1).describe('Mean loop behind which tokens left; the number of loops at full depth.'),
  exits: z
    .array(z.object({ loop: z.int().min(1), tokens: count }))
    .describe('How many new tokens left behind which loop, every loop once, ascending.'),
  rowsPerStep: z.number().min(0).describe('Mean of the rows of decoding steps that did work.'),
  occupancy: share.describe('Rows that did work over rows that there was room for, weighted by time.'),
  timeToFirstToken: percentiles.optional().describe('From the arrival of a request to its first token.'),
  latency: percentiles.optional().describe('From the arrival of a request to its last token.'),
  timePerToken: percentiles.optional().describe('Between two tokens of a sequence.'),
  steady: steady.optional(),
  breakdown: z
    .object({
      block: milliseconds.describe('Passes of decoding rows that did work; without what is named below.'),
      attention: milliseconds.optional().describe('Attention, where it is known apart from the block.'),
      prompt: milliseconds.optional().describe('Passes of prompts.'),
      head: milliseconds.optional().describe('Heads.'),
      padding: milliseconds.optional().describe('Rows that waited or were padding.'),
      cache: milliseconds.optional().describe('Keys and values of skipped loops: propagate, complete.'),
      host: milliseconds.describe('Outside ONNX Runtime.'),
      wait: milliseconds.optional().describe('Nothing to do: no request had arrived.'),
    })
    .optional()
    .describe('Where the milliseconds went; the parts add up to them.'),
  timeline: z
    .object({
      whole: z.boolean().describe('False: the run went on behind the last step that is listed.'),
      steps: z.array(timelineStep),
    })
    .optional()
    .describe('Steps from the start of the workload.'),
});

const arrivals = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('at-once') }),
  z.object({ kind: z.literal('poisson'), perSecond: z.number().positive(), seed: z.int() }),
]);

const ends = z
  .object({ low: z.number(), high: z.number() })
  .describe('Where it is likely to be: 19 times out of 20, if there were enough samples.');

const lengths = z.object({ least: count, mean: z.number().min(0), most: count });

const bounds = z
  .object({
    loops: z.int().min(1),
    meanExit: z.number().min(1).describe('Of the tokens that depth-wise batching was measured on.'),
    pass: milliseconds.describe('One loop of the block for the rows of a depth-wise step, without heads.'),
    passFrom: z
      .enum(['full-depth', 'probes'])
      .optional()
      .describe('Steps of full depth at work, or probes between rounds, where there were too few of these.'),
    head: milliseconds.describe('Heads of maxRows rows.'),
    headEnds: ends.optional(),
    headsPerStep: z.number().min(0).describe('Heads of a depth-wise step.'),
    headOfStep: milliseconds.describe('What so many take.'),
    headOfStepEnds: ends.optional(),
    gain: z.number().describe('loops / meanExit: what the exits allow when heads cost nothing.'),
    gainWithHeads: z
      .number()
      .describe(
        '(loops · pass + head) / (meanExit · (pass + headOfStep)): the same with the heads that each has to run.',
      ),
    reached: z.number().describe('Depth-wise over full depth, all tokens of the steady state together.'),
    shareOfGain: z.number(),
    shareOfGainWithHeads: z.number(),
    shareOfGainWithHeadsEnds: ends.optional().describe('The share, with heads as fast and as slow as they may be.'),
    losses: z
      .array(
        z.object({
          what: z.enum(['head', 'host', 'empty-rows', 'other']),
          gain: z.number().describe('How much of the gain it took; what is reached and all losses add up to the gain.'),
        }),
      )
      .describe('Where the rest of the gain went.'),
    parts: z
      .object({ attention: milliseconds, padding: milliseconds })
      .optional()
      .describe('Of a pass: what attending to the past takes, and what it takes more because rows differ in length.'),
  })
  .describe('What the exits of the workload allow, and how much of it depth-wise batching reached.');

const workload = z.object({
  sequences: count,
  promptTokens: lengths,
  newTokens: lengths,
  arrivals,
  exits: z.string().describe('For people: "trace, 1.20 of 2 loops on average", "threshold 0.7".'),
  kvPolicy: z.string(),
  rowOrder: z.string(),
  maxRows: z.int().min(1),
  maxSequences: z.int().min(1),
  rounds: z.int().min(1).describe('How often all variants took turns.'),
  seed: z.int(),
});

const run = z
  .object({
    workload,
    doubts: z.array(z.string()).optional().describe('Why these numbers may not be worth much, for people.'),
    variants: z.array(variant).min(1),
    sameTokens: z.boolean().optional().describe('Whether all variants that leave early gave the same tokens.'),
    bounds: bounds.optional(),
    boundsByThreshold: bounds.optional().describe('The same for exits by threshold, which need a head at every exit.'),
    unrolled: z
      .object({
        package: z.string(),
        slower: spread.describe('Time of a token at full depth over its time in the form unrolled, round by round.'),
      })
      .optional(),
    engine: z
      .object({
        tokensPerSecond: z.number().min(0),
        hostShare: share.describe('Time outside ONNX Runtime over all time, messages between the threads included.'),
        messageShare: share.describe('Of it, what the thread and its messages add.'),
      })
      .optional()
      .describe('Depth-wise steps through the engine, which runs in a thread of its own.'),
    othersCpu: z
      .object({ mean: z.number().min(0), most: z.number().min(0) })
      .optional()
      .describe('Cores that other processes kept busy: over the run, and in the worst round.'),
  })
  .describe('One workload at one number of rows.');

/** What `rtc bench --json` prints. */
export const benchDocumentSchema = z
  .object({
    version: z.literal(1),
    environment: z.object({
      rtc: z.string(),
      node: z.string(),
      onnxRuntime: z.string(),
      platform: z.string().describe('linux-x64'),
      cpu: z.string(),
      cores: z.int().min(1),
      threads: z.int().min(1).describe('Of ONNX Runtime.'),
    }),
    package: z.object({
      name: z.string(),
      dialect: z.string(),
      precision: z.string(),
      prelude: count,
      block: count,
      loops: z.int().min(1),
      coda: count,
      vocabulary: count,
      storedParameters: count.optional(),
      weightBytes: count.optional(),
      lora: z.string().optional().describe('Strategy of the factors of all depths, if there are any.'),
    }),
    runs: z
      .array(run)
      .describe('One for each number of rows; none when only the profile or the quality was asked for.'),
    profile: stepProfileSchema.optional(),
    quality: z
      .object({
        text: z.string().describe('What it was measured on, for people.'),
        tokens: count,
        rows: z
          .array(
            z.object({
              threshold: z.number().optional().describe('1: never leaves, the model at full depth.'),
              loop: z.int().min(1).optional().describe('Instead of a threshold: every token left behind this loop.'),
              kvPolicy: z.string(),
              perplexity: z.number().positive(),
              agreement: share.describe('Tokens on which it agrees with full depth.'),
              meanExit: z.number().min(1),
              tokensPerSecond: z.number().positive().optional(),
            }),
          )
          .min(1),
      })
      .optional()
      .describe('Accuracy against threshold.'),
  })
  .describe('rtc bench: one package, one workload, several ways to batch it.');

/** What `rtc bench --json` prints. */
export type BenchDocument = z.infer<typeof benchDocumentSchema>;

/** One workload at one number of rows. */
export type BenchRun = BenchDocument['runs'][number];

/** One way to batch the workload, measured. */
export type BenchVariant = BenchRun['variants'][number];

/** One call of the graph in a timeline. */
export type TimelineStep = z.infer<typeof timelineStep>;
