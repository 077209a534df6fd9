import { z } from 'zod';
import { maxStoredLayers } from '../architectures/gated-decoder.ts';

/** Names a package and its folder, so it must be a name everywhere. */
export const modelName = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/;

const path = z.string().min(1).describe('A path relative to model.json, with forward slashes, inside its folder.');
const layers = (least: number) => z.number().int().min(least).max(maxStoredLayers);

/** The one source of truth for model.json: the validator, the types and the JSON Schema all come from it. */
export const modelJsonSchema = z.strictObject({
  $schema: z.string().optional().describe('For editors; rtc ignores it.'),
  format: z.literal('rtc-model'),
  version: z.literal(1),
  name: z
    .string()
    .regex(modelName, 'letters, digits, ".", "_" and "-"')
    .optional()
    .describe("Names the package. Default: the folder's name."),
  config: path.describe('The Hugging Face config.json; its num_hidden_layers counts the layers stored.'),
  weights: z.array(path).min(1).describe('The .safetensors files, or one model.safetensors.index.json.'),
  recursion: z
    .strictObject({
      prelude: layers(0).optional().describe('Layers run once before the loop. Default: 0.'),
      block: layers(1).optional().describe('Layers of the shared block.'),
      loops: layers(1).optional().describe('How often the block runs.'),
      coda: layers(0).optional().describe('Layers run once after the loop. Default: 0.'),
      order: z
        .enum(['cycle', 'sequence'])
        .optional()
        .describe('cycle: the block runs as a whole, again and again; sequence: each of its layers. Default: cycle.'),
      layers: z
        .array(
          z
            .number()
            .int()
            .min(0)
            .max(maxStoredLayers - 1),
        )
        .min(1)
        .max(maxStoredLayers)
        .optional()
        .describe('In place of all these: the stored layer of each layer that runs, in order.'),
      norms: z
        .enum(['shared', 'per-depth'])
        .optional()
        .describe('Whether layers of the block have norms of their own at each depth. Default: shared.'),
    })
    .meta({ anyOf: [{ required: ['block', 'loops'] }, { required: ['layers'] }] })
    .describe('How often which layers run.'),
  lora: z
    .strictObject({
      targets: z
        .array(z.string().min(1))
        .min(1)
        .describe('Linear modules of a block layer that carry factors for each depth, such as self_attn.q_proj.'),
      alpha: z.number().positive().optional().describe('The update is scaled by alpha / rank. Default: not scaled.'),
    })
    .optional()
    .describe('Low-rank updates of the shared weights, different at each depth.'),
  exits: z
    .strictObject({
      after: z.array(z.number().int().min(1)).describe('Loops, from 1, behind which a token may leave; ascending.'),
      confidence: z
        .enum(['top1', 'margin', 'entropy'])
        .default('top1')
        .describe('What is compared with the threshold: the largest probability, its lead, or 1 - entropy / ln vocab.'),
      threshold: z.number().min(0).default(1).describe('Leave when the confidence reaches it; 1 or more never leaves.'),
    })
    .optional()
    .describe('Where a token may leave early.'),
});

/** model.json as it is checked, defaults filled in. */
export type ModelJson = z.output<typeof modelJsonSchema>;

/** The JSON Schema that rtc ships as schema/model.schema.json, as text. */
export function modelSchemaText(): string {
  const schema = z.toJSONSchema(modelJsonSchema, { io: 'input' });
  const { $schema, ...rest } = schema;
  const titled = { $schema, title: 'rtc model.json', description: 'A recursive transformer on disk.', ...rest };
  return `${JSON.stringify(titled, undefined, 2)}\n`;
}
