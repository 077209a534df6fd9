import { z } from 'zod';
import { stepProfileSchema } from '../files/step-profile.ts';
import { simulatedKvPolicies, simulatedRowOrders } from './scenario.ts';

const path = z.string().min(1).max(4096);
const rows = z.int().min(1).max(65_536);
const loops = z.int().min(1).max(1024);
const bytes = z.number().min(0).max(1e18);
const seed = z.int().min(0).max(0xffffffff);

/** A length, the same for all sequences or drawn evenly between two. */
const length = (least: number) => {
  const one = z.int().min(least).max(1e7);
  return z.union([one, z.strictObject({ least: one, most: one })], {
    error: `a whole number of at least ${least}, or {"least": 32, "most": 512}`,
  });
};

/** The one source of truth for the files that `rtc simulate` reads: validator, types and JSON Schema. */
export const simulationFileSchema = z.strictObject({
  $schema: z.string().optional().describe('For editors; rtc ignores it.'),
  format: z.literal('rtc-simulation'),
  version: z.literal(1),
  name: z.string().min(1).max(200).optional().describe('Shown above the results.'),
  loops: loops.describe('How often the block runs at full depth.'),
  times: stepProfileSchema
    .partial({ passes: true })
    .extend({
      file: path.optional().describe('JSON that "rtc bench --profile --json" printed, relative to this file.'),
    })
    .describe('How long the parts of a step take: in a file, or here.'),
  exits: z
    .strictObject({
      trace: path.optional().describe('JSON that "rtc run --json" printed, relative to this file.'),
      shares: z.array(z.number().min(0).max(1)).min(1).max(1024).optional().describe('Share of tokens for each loop.'),
      mean: z.number().min(1).max(1024).optional().describe('Mean loop; the shares are those of largest entropy.'),
    })
    .describe('Behind which loop tokens leave: recorded, as shares, or as a mean.'),
  exitsAfter: z
    .array(loops)
    .optional()
    .describe('Loops, from 1, behind which a token may leave; ascending. Default: all of them.'),
  decision: z
    .enum(['known', 'confidence'])
    .default('known')
    .describe('Whether heads run only for tokens that leave, or for every row at every exit to find out.'),
  kvPolicy: z.enum(simulatedKvPolicies).default('last-exited').describe('Keys and values of loops a token skipped.'),
  rowOrder: z.enum(simulatedRowOrders).default('oldest').describe('Rows that go first when there are too many.'),
  prefillChunk: z.int().min(1).max(1e7).default(64).describe('Tokens of a prompt that run together, at most.'),
  workload: z
    .strictObject({
      sequences: z.int().min(1).max(1e6).optional().describe('Default: as many as the trace has, else 256.'),
      promptTokens: length(0).optional().describe("Default: the trace's prompts, else 0."),
      newTokens: length(1).optional().describe('Default: as many as the trace has, else 128.'),
      arrivals: z
        .strictObject({
          kind: z.enum(['at-once', 'poisson']),
          perSecond: z.number().positive().max(1e9).optional().describe('Of poisson: sequences a second, on average.'),
        })
        .default({ kind: 'at-once' }),
      seed: seed.default(0).describe('What lengths, exits and arrivals are drawn with.'),
    })
    .prefault({})
    .describe('What there is to generate.'),
  limits: z
    .strictObject({
      maxRows: z
        .union([rows, z.array(rows).min(1).max(64)], { error: 'a whole number from 1 to 65536, or a list of them' })
        .optional()
        .describe('Rows of a step, at most; a list is tried one by one. Default: what memory holds.'),
      maxSequences: rows.optional().describe('Sequences under way, at most. Default: maxRows.'),
      memory: z
        .strictObject({
          bytes: bytes.describe('Memory of the device.'),
          weights: bytes.default(0),
          workspace: bytes.default(0).describe('What the runtime needs beside weights and caches.'),
          cacheBytesPerPosition: bytes.describe(
            'Keys and values of one position at one depth: all layers of the block.',
          ),
          boundaryCacheBytesPerPosition: bytes.default(0).describe('The same of prelude and coda.'),
          pageSize: z.int().min(1).max(1e6).default(64).describe('Positions of a page.'),
        })
        .optional()
        .describe('What bounds the number of sequences.'),
    })
    .prefault({})
    .describe('How many rows a step may have. At least one of maxRows and memory.'),
});

/** A file for `rtc simulate`, defaults filled in. */
export type SimulationFile = z.output<typeof simulationFileSchema>;

/** The JSON Schema that rtc ships as schema/rtc-simulation.schema.json, as text. */
export function simulationSchemaText(): string {
  const { $schema, ...rest } = z.toJSONSchema(simulationFileSchema, { io: 'input' });
  const titled = { $schema, title: 'rtc simulation', description: 'What "rtc simulate" simulates.', ...rest };
  return `${JSON.stringify(titled, undefined, 2)}\n`;
}
