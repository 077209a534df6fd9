import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PlanParts } from '../../../compiler/tensorrt/plan-cache/plan-parts.ts';
import type { PlanStamp } from '../../../files/plan-stamp.ts';

export const hashOf = (text: string | Uint8Array) => createHash('sha256').update(text).digest('hex');

/** Parts of an engine that was never built. */
export function exampleParts(changes: Partial<PlanParts> = {}): PlanParts {
  return {
    format: 1,
    graph: hashOf('graph'),
    weights: { 'model.safetensors': hashOf('weights') },
    arguments: ['--onnx=step.onnx', '--saveEngine=step.all.plan', '--stronglyTyped', '--builderOptimizationLevel=3'],
    argumentFiles: {},
    tensorrt: '10.16.0',
    gpu: 'NVIDIA Example 80GB',
    computeCapability: '9.0',
    driver: '580.10.2',
    ...changes,
  };
}

/** A file that passes for the engine of these parts, in `folder`, and its stamp. */
export async function exampleEngine(
  folder: string,
  parts: PlanParts,
  bytes: Uint8Array = randomBytes(5000),
): Promise<{ readonly plan: string; readonly stamp: PlanStamp }> {
  const plan = join(folder, `${randomBytes(4).toString('hex')}.plan`);
  await writeFile(plan, bytes);
  return {
    plan,
    stamp: {
      file: 'step.all.plan',
      graph: 'step.onnx',
      profiles: ['decode', 'small', 'prefill'],
      size: bytes.length,
      sha256: hashOf(bytes),
      graphSha256: parts.graph,
      weights: parts.weights,
      tensorrt: parts.tensorrt,
      gpu: parts.gpu,
      computeCapability: parts.computeCapability,
      driver: parts.driver,
      versionCompatible: false,
      hardwareCompatibility: 'none',
      arguments: [...parts.arguments],
    },
  };
}
