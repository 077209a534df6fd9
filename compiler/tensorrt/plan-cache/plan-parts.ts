import { createHash } from 'node:crypto';
import { z } from 'zod';

const text = z.string().min(1);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** Changes when the meaning of a part does: engines that were kept before are then not found any more. */
export const partsFormat = 1;

/** Everything that decides which engine a build gives. Two builds with the same parts may share one. */
export const planPartsSchema = z.strictObject({
  format: z.literal(partsFormat),
  /** SHA-256 of the .onnx file. */
  graph: sha256,
  /** SHA-256 of every file that the graph's weights are in, by its path in the package. */
  weights: z.record(text, sha256),
  /** What trtexec is called with in the folder of the package; engine and timing cache under their final names. */
  arguments: z.array(z.string()),
  /** SHA-256 of every file that an argument names, such as a plugin library, by what the argument says. */
  argumentFiles: z.record(text, sha256),
  /** Version of TensorRT, with its patch. */
  tensorrt: text,
  /** Name of the GPU. */
  gpu: text,
  /** As in 9.0. */
  computeCapability: text,
  /** Version of the GPU's driver. */
  driver: text,
  /** SHA-256 of the timing cache that the build has to start from; undefined where any will do. */
  timingCache: sha256.optional(),
});

export type PlanParts = z.infer<typeof planPartsSchema>;

/** Under which name an engine of these parts is kept: the SHA-256 of their canonical JSON, in hexadecimal. */
export function planKey(parts: PlanParts): string {
  return createHash('sha256').update(canonicalJson(parts)).digest('hex');
}

/** JSON without spaces, keys in the order of their UTF-16 units: equal values are equal texts. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, v]) => v !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, v]) => `${JSON.stringify(key)}:${canonicalJson(v)}`);
  return `{${members.join(',')}}`;
}
