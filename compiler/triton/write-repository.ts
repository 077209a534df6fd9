import { posix } from 'node:path';
import { readEndTokens } from '../../runtime/end-tokens.ts';
import type { OnnxFile } from '../../targets/onnx/onnx-file.ts';
import { driverConfig, type ServingPolicy } from '../../targets/triton/driver-config.ts';
import { formatDriverFacts } from '../../targets/triton/driver-facts.ts';
import { readDriver } from '../../targets/triton/driver-files.ts';
import { formatModelConfig } from '../../targets/triton/model-config.ts';
import { describeInterface, describePackage, type PackageFacts } from '../package/describe-package.ts';
import type { ExtraFile } from '../package/package-files.ts';
import type { SourceModel } from '../read/source-model.ts';

export interface RepositoryOptions {
  readonly model: SourceModel;
  readonly facts: PackageFacts;
  readonly onnx: readonly OnnxFile[];
  readonly policy: ServingPolicy;
}

/** What makes a package a Triton model repository, too. */
export interface ModelRepository {
  /** Folder of the model's only version, in the package: graphs, weights and the model as it was go there. */
  readonly folder: string;
  /** What goes beside them, and config.pbtxt above. */
  readonly files: readonly ExtraFile[];
}

/**
 * The model repository of a package of the form `depth-batched`. The package's folder is the repository; Triton looks
 * at folders alone there, so rtc.json and a tokenizer at the root are in nobody's way.
 */
export async function modelRepository({ model, facts, onnx, policy }: RepositoryOptions): Promise<ModelRepository> {
  const folder = posix.join(model.name, '1');
  const described = describePackage(model, facts);
  const graphs = Object.fromEntries(onnx.map(({ name }, i) => [name, describeInterface(facts.graphs[i]!)]));
  const endTokens = await readEndTokens(model.folder, described);
  const config = driverConfig({
    name: model.name,
    policy,
    pageSize: described.cache.pageSize!,
    onGpu: facts.tensorrt !== undefined,
  });
  const driver = formatDriverFacts({
    manifest: { ...described, graphs },
    maxContext: policy.maxContext,
    endTokens,
  });
  const files = [
    { path: posix.join(model.name, 'config.pbtxt'), bytes: Buffer.from(formatModelConfig(config)) },
    { path: posix.join(folder, 'driver.json'), bytes: Buffer.from(driver) },
    ...(await readDriver()).map(({ path, bytes }) => ({ path: posix.join(folder, path), bytes })),
  ];
  return { folder, files };
}
