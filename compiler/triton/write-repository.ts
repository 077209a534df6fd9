import { posix } from 'node:path';
import { type Result, success } from '../../files/diagnostics.ts';
import { readEndTokens } from '../../runtime/end-tokens.ts';
import type { OnnxFile } from '../../targets/onnx/onnx-file.ts';
import { driverConfig } from '../../targets/triton/driver-config.ts';
import { formatDriverFacts } from '../../targets/triton/driver-facts.ts';
import { readDriver } from '../../targets/triton/driver-files.ts';
import { formatModelConfig } from '../../targets/triton/model-config.ts';
import type { CompileOptions, Form } from '../compile-options.ts';
import { describeInterface, describePackage, type PackageFacts } from '../package/describe-package.ts';
import type { ExtraFile } from '../package/package-files.ts';
import type { SourceModel } from '../read/source-model.ts';
import { stepPolicy } from '../tensorrt/step-policy.ts';

export interface RepositoryOptions {
  readonly model: SourceModel;
  readonly form: Form;
  readonly facts: PackageFacts;
  readonly onnx: readonly OnnxFile[];
  readonly options: CompileOptions;
}

/**
 * Folder of a model's only version, in a package that is a repository: graphs, weights and the model as it was go there.
 */
export function repositoryFolder(name: string): string {
  return posix.join(name, '1');
}

/**
 * What makes a package of the form `depth-batched` a Triton model repository, too: config.pbtxt, and beside the graphs
 * the driver. The package's folder is the repository; Triton looks at folders alone there, so rtc.json and a tokenizer at
 * the root are in nobody's way. Fails when steps are asked for that the model cannot do.
 */
export async function repositoryFiles({
  model,
  form,
  facts,
  onnx,
  options,
}: RepositoryOptions): Promise<Result<readonly ExtraFile[]>> {
  const planned = stepPolicy(model, form, options);
  if (!planned.ok) return planned;
  const policy = planned.value;
  const folder = repositoryFolder(model.name);
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
  return success([
    { path: posix.join(model.name, 'config.pbtxt'), bytes: Buffer.from(formatModelConfig(config)) },
    { path: posix.join(folder, 'driver.json'), bytes: Buffer.from(driver) },
    ...(await readDriver()).map(({ path, bytes }) => ({ path: posix.join(folder, path), bytes })),
  ]);
}
