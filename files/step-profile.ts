import { z } from 'zod';

const count = z.int().min(1).max(1e7);
const milliseconds = z.number().positive().max(1e9);
const byRows = z.array(z.strictObject({ rows: count, milliseconds })).min(1);
const byHeads = z.array(z.strictObject({ heads: count, milliseconds })).min(1);
const byTokens = z.array(z.strictObject({ tokens: count, milliseconds })).min(1);

/**
 * How long the parts of a step take: what `rtc bench --profile` measures, and what `rtc simulate` reads. All times are
 * milliseconds, all lists ascend, and between two entries time is taken as linear.
 */
export const stepProfileSchema = z
  .strictObject({
    source: z.string().min(1).max(1000).optional().describe('Where the times come from: a machine, a package, a log.'),
    context: z.int().min(0).max(1e9).optional().describe('Positions that rows had behind them when they were timed.'),
    passes: byRows.describe('One loop of the block for so many rows of one token, without a head.'),
    heads: byHeads.optional().describe('What so many heads (norm, vocabulary, confidence) add to a pass.'),
    prompt: byTokens.optional().describe('One loop of the block for so many prompt tokens together.'),
    propagate: byTokens
      .optional()
      .describe('Keys and values of one skipped loop for so many tokens (KV policy propagate).'),
    host: z
      .number()
      .min(0)
      .max(1e9)
      .optional()
      .describe('What a step takes outside the runtime: scheduling, sampling, writing pages.'),
  })
  .describe('Times of the parts of a step, in milliseconds; between two entries time is linear.');

/** Times of the parts of a step, in milliseconds. */
export type StepProfile = z.infer<typeof stepProfileSchema>;
