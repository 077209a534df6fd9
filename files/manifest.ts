import { z } from 'zod';
import { dtypes } from '../ir/dtype.ts';
import { hardwareCompatibility, planName, planStampSchema } from './plan-stamp.ts';

/** `$schema` of every rtc.json: where the schema lies once rtc is installed beside the package. */
export const manifestSchemaPath = '../node_modules/rtc/schema/rtc-package.schema.json';

/** The file that makes a folder a package. */
export const manifestName = 'rtc.json';

/** Main graph of a package of the form depth-batched. */
export const stepGraphName = 'step.onnx';

/** The graph beside it, where there are depths to skip. */
export const propagateGraphName = 'propagate.onnx';

const count = z.int().min(0);
const positive = z.int().min(1);
const text = z.string().min(1);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const dtype = z.enum(Object.keys(dtypes) as [keyof typeof dtypes, ...(keyof typeof dtypes)[]]);

const part = z.enum(['prelude', 'block', 'coda']);

const graphTensor = z
  .object({
    name: text,
    dtype,
    dims: z.array(z.union([count, text])).describe('A number, or a name or sum of names such as past+sequence.'),
  })
  .describe('An input or an output of a graph.');

const writtenFile = z
  .object({ origin: z.literal('written'), size: count, sha256 })
  .describe('A file that rtc wrote or copied.');

const checkpointFile = z
  .object({
    origin: z.literal('checkpoint'),
    size: count,
    headerSha256: sha256.describe('Of the 8 bytes of length and the JSON header of the safetensors file.'),
    sha256: sha256.optional().describe('Of the whole file, when --checksum asked for it.'),
  })
  .describe('A weight file of the checkpoint, byte for byte: a hard link to it, or a copy.');

const bytes = z
  .object({
    stored: count.describe('Bytes in the checkpoint.'),
    unrolled: count.describe('Bytes if every loop had weights of its own.'),
  })
  .describe('How many bytes of the checkpoint belong to a category, and what they would be without sharing.');

const cacheLayer = z
  .object({
    part,
    layer: count.describe('Number of the stored layer, prelude first.'),
    depth: count.optional().describe('Depth of this cache, where every loop has its own inputs.'),
    loops: count.optional().describe('Size of the leading loops axis, where there is one.'),
  })
  .describe('What past_key_values.{i}, or key_pages.{i}, belongs to; i counts the entries of the list.');

const sizes = z.array(count);

const profile = z
  .object({
    name: text,
    inputs: z
      .record(text, z.object({ min: sizes, opt: sizes, max: sizes }))
      .describe('Sizes of every input that has one which is not fixed.'),
  })
  .describe('What an engine is tuned for, and between which sizes it runs.');

const tensorrt = z
  .object({
    version: text.describe('Version of TensorRT that the graphs were written for.'),
    attention: z.enum(['parts', 'native']).describe('Whether the graphs say Attention, or what it is made of.'),
    policy: z
      .object({
        maxRows: positive.describe('Rows of a step.'),
        smallRows: positive.describe('Rows that the profile for small batches ends with.'),
        maxContext: positive.describe('Positions of a sequence.'),
        prefillChunk: positive.describe('Prompt tokens of a row in one step.'),
        exits: z.array(z.number().min(0).max(1)).describe('Share of the tokens that leave behind each loop.'),
      })
      .describe('What all sizes follow from.'),
    engines: z
      .array(z.object({ graph: text, plan: planName, profiles: z.array(profile).min(1) }))
      .describe('In the order of the graphs; a graph may have several, each with profiles of its own.'),
    settings: z
      .object({
        tf32: z.boolean(),
        optimizationLevel: z.int().min(0).max(5).optional(),
        workspace: text.optional(),
        versionCompatible: z.boolean(),
        hardwareCompatibility: hardwareCompatibility.optional(),
        stripWeights: z.boolean(),
        weightStreaming: z.boolean(),
        errorOnTimingCacheMiss: z.boolean(),
        extra: z.array(z.string()).describe('Arguments that trtexec gets as they are.'),
      })
      .describe('How engines are built, wherever that is done.'),
    timingCacheSha256: sha256.optional().describe('Of the timing cache that every build has to start from.'),
  })
  .describe('Target tensorrt: the engines that the graphs are meant for.');

/** What rtc.json says of a package: enough to run, check and compare it without knowing how it was made. */
export const manifestSchema = z
  .object({
    $schema: text.optional(),
    format: z.literal('rtc-package'),
    version: z.literal(1),
    rtc: text.describe('Version of rtc that wrote the package.'),
    name: text,
    form: z.enum(['depth-batched', 'loop', 'unrolled']),
    target: z.enum(['onnx', 'tensorrt', 'triton']),
    dialect: z.enum(['portable', 'ort', 'tensorrt']),
    layout: z.enum(['rtc', 'huggingface']),
    precision: z
      .object({
        compute: z.enum(['f32', 'f16', 'bf16']),
        weights: z
          .enum(['checkpoint', 'written'])
          .describe("Whether graphs read the checkpoint's own bytes, or weights written in the compute type."),
      })
      .describe('Element type of hidden states, caches and products; norms, softmax and logits are f32.'),
    graphs: z
      .record(text, z.object({ inputs: z.array(graphTensor), outputs: z.array(graphTensor) }))
      .describe('By file, in the order in which a runtime has to pass and receives tensors.'),
    files: z
      .record(text, z.discriminatedUnion('origin', [writtenFile, checkpointFile]))
      .describe(
        'Every file of the package but rtc.json and what is built from it on a GPU, by its path in the package.',
      ),
    recursion: z.object({
      prelude: count,
      block: count.describe('Layers of the shared block.'),
      loops: count.describe('How often the block runs.'),
      coda: count,
      layers: z
        .array(count)
        .optional()
        .describe("The checkpoint's number of each layer of prelude, block and coda; absent: 0, 1, 2 and so on."),
    }),
    lora: z
      .object({
        targets: z.array(text),
        alpha: z.number().optional(),
        strategy: z.enum(['bake', 'keep', 'concatenate', 'gather']),
      })
      .optional(),
    exits: z
      .object({
        after: z.array(count).describe('Loops, from 1, behind which a token may leave.'),
        confidence: z.enum(['top1', 'margin', 'entropy']),
        threshold: z.number().describe('The default of the model; 1 or more never leaves.'),
        logits: z.boolean().describe('Whether there is an output exit_logits.{n} for each exit.'),
      })
      .optional(),
    cache: z
      .object({
        dtype,
        heads: count,
        headDim: count,
        layers: z.array(cacheLayer),
        pageSize: positive.optional().describe('Form depth-batched: positions of a page.'),
        groups: positive
          .max(1024)
          .optional()
          .describe('Form depth-batched: in how many groups rows attend, each with a page table of its own.'),
      })
      .describe(
        'Keys and values: inputs past_key_values.{i}.key|value, outputs present.{i}.key|value; in the form depth-batched ' +
          'inputs key_pages.{i} and value_pages.{i}, outputs new_key.{i} and new_value.{i}.',
      ),
    tensorrt: tensorrt.optional(),
    plans: z.array(planStampSchema).optional().describe('Engines that were built; empty where none was yet.'),
    source: z
      .object({
        folder: z.string().describe('Folder of the package that holds the model as it was compiled; empty: itself.'),
        model: text.describe('model.json, relative to the package.'),
        config: text.describe('config.json of the model, relative to the package.'),
        missing: z
          .array(text)
          .describe('Weight files of the model that no graph reads and that were left out: verify needs --model.'),
      })
      .describe('The model that was compiled.'),
    config: z.record(z.string(), z.unknown()).describe('config.json of the model, as it stands.'),
    passes: z
      .array(text)
      .describe('Passes that ran, in order; those of a graph beside the main one as {graph}-{pass}.'),
    sizes: z.object({
      block: bytes,
      prelude: bytes,
      coda: bytes,
      lora: bytes,
      embeddings: bytes,
      head: bytes,
      exits: bytes,
      other: bytes.describe('Tensors that no layer uses, such as stored rotary tables.'),
    }),
  })
  .describe('rtc.json: a model compiled by rtc.');

/** rtc.json as an object. */
export type PackageManifest = z.infer<typeof manifestSchema>;

/** One file of a package. */
export type PackageFile = PackageManifest['files'][string];

/** What rtc.json says of engines, built or not. */
export type TensorrtFacts = NonNullable<PackageManifest['tensorrt']>;

/** An input or an output of a graph of a package. */
export type GraphTensor = PackageManifest['graphs'][string]['inputs'][number];

/** Categories that the checkpoint's bytes fall into. */
export type SizeCategory = keyof PackageManifest['sizes'];

/** The JSON Schema of rtc.json, as it is shipped in schema/. */
export function manifestJsonSchema(): Readonly<Record<string, unknown>> {
  const { $schema, ...schema } = z.toJSONSchema(manifestSchema, { io: 'input' });
  return { $schema, $id: 'urn:rtc:schema:rtc-package', title: 'rtc package', ...schema };
}

/** The text of rtc.json: keys in order, so that equal packages are equal files. */
export function formatManifest(manifest: PackageManifest): string {
  return `${JSON.stringify(sortKeys({ ...manifest, $schema: manifest.$schema ?? manifestSchemaPath }), null, 2)}\n`;
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, v]) => [key, sortKeys(v)]));
}
