import { z } from 'zod';

const count = z.int().min(0);
const text = z.string().min(1);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** Name of an engine's file; it lies beside its graph. */
export const planName = z.string().regex(/^(?:(?!\.\.?\/)[\w.-]+\/)*[A-Za-z0-9][\w.-]*\.plan$/);

/** Which GPUs an engine runs on besides its own. */
export const hardwareCompatibility = z.enum(['none', 'ampere+', 'sameComputeCapability']);

/** How an engine was built, and where it runs. */
export const planStampSchema = z
  .object({
    file: planName,
    graph: text,
    profiles: z.array(text).min(1),
    size: count,
    sha256,
    graphSha256: sha256.describe('Of the graph that it was built from.'),
    weights: z
      .record(text, sha256)
      .describe("SHA-256 of every file that the graph's weights were in, by its path in the package."),
    tensorrt: text.describe('Version that built it; no other loads it, unless it is version compatible.'),
    gpu: text.describe('Name of the GPU that it was tuned on.'),
    computeCapability: text.describe('As in 9.0; no other loads it, unless it is hardware compatible.'),
    driver: text.optional(),
    versionCompatible: z.boolean(),
    hardwareCompatibility,
    arguments: z.array(text).describe('What trtexec was called with, in the folder of the package.'),
    timingCacheSha256: sha256.optional().describe('Of the timing cache that the build began with.'),
  })
  .describe('An engine: a file that fits one version of TensorRT and one kind of GPU.');

/** An engine of a package. */
export type PlanStamp = z.infer<typeof planStampSchema>;

/** Where build.sh leaves the stamp of an engine. */
export function stampName(plan: string): string {
  return `${plan}.json`;
}
