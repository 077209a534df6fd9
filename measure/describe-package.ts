import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import type { Package } from '../files/package.ts';
import { readSafetensors } from '../files/safetensors.ts';
import type { StepShape } from '../runtime/depth-batched/step-model.ts';
import type { BenchDocument } from './bench-document.ts';

/** What a document says of the package. */
export async function describePackage(
  { folder, manifest }: Package,
  shape: StepShape,
): Promise<BenchDocument['package']> {
  const stored = await storedNumbers(folder, manifest.files);
  const { recursion, precision, lora } = manifest;
  const { prelude, block, loops, coda } = recursion;
  return {
    name: manifest.name,
    dialect: manifest.dialect,
    precision: precision.compute,
    ...{ prelude, block, loops, coda },
    vocabulary: shape.vocabulary,
    weightBytes: Object.values(manifest.sizes).reduce((sum, { stored: bytes }) => sum + bytes, 0),
    ...(stored === undefined ? {} : { storedParameters: stored }),
    ...(lora === undefined ? {} : { lora: lora.strategy }),
  };
}

/** What a document says of the machine, and of what runs on it. */
export async function describeEnvironment(rtc: string, threads: number): Promise<BenchDocument['environment']> {
  const { env } = await import('onnxruntime-node');
  return {
    rtc,
    node: process.version,
    onnxRuntime: env.versions.node ?? env.versions.common,
    platform: `${process.platform}-${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    threads,
  };
}

/** Numbers in the checkpoint's files; undefined when one of them cannot be read any more. */
async function storedNumbers(folder: string, files: Package['manifest']['files']): Promise<number | undefined> {
  let sum = 0;
  for (const [path, { origin }] of Object.entries(files)) {
    if (origin !== 'checkpoint') continue;
    const read = await readSafetensors(join(folder, path), { path, shown: path });
    if (!read.ok) return undefined;
    for (const { shape } of read.value.tensors.values()) sum += shape.reduce((product, dim) => product * dim, 1);
  }
  return sum;
}
