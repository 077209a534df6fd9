import { join } from 'node:path';
import { expect } from 'vitest';
import type { CompileOptions, Form, Precision } from '../../compiler/compile-options.ts';
import { dialectFor, lowerModel } from '../../compiler/lower-model.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import { generatedFile, lowerToModel } from '../../targets/onnx/lower.ts';
import type { OnnxModel } from '../../targets/onnx/onnx-model.ts';
import { type IllegalNode, illegalNodes } from '../../targets/tensorrt/operators/check-legality.ts';
import { parseVersion, type TensorrtVersion } from '../../targets/tensorrt/versions.ts';

export interface LoweredOptions extends Pick<CompileOptions, 'lora' | 'exitLogits' | 'attentionGroups' | 'dialect'> {
  readonly form: Form;
  readonly precision: Precision;
  readonly attention: 'native' | 'parts';
  readonly version?: string;
}

/** One of test/models. */
export async function sourceModel(name: string): Promise<SourceModel> {
  return modelIn(join(import.meta.dirname, '..', 'models', name));
}

/** The model in a folder. */
export async function modelIn(folder: string): Promise<SourceModel> {
  const model = await readModel(folder);
  if (!model.ok) expect.fail(JSON.stringify(model.diagnostics));
  return model.value;
}

/** The graphs of a model for TensorRT, by file, as they are written. No weight is read. */
export function loweredModels(
  model: SourceModel,
  { form, attention, version = '11.1', ...rest }: LoweredOptions,
): ReadonlyMap<string, OnnxModel> {
  const options: CompileOptions = {
    ...rest,
    model: model.folder,
    form,
    target: 'tensorrt',
    verifyEach: false,
    tensorrt: { attention, tensorrtVersion: version },
  };
  const lowered = lowerModel(model, form, options);
  if (lowered.outcome !== 'done') expect.fail(JSON.stringify(lowered));
  const { name: dialect, spec } = dialectFor(options);
  return new Map(
    lowered.graphs.map(({ file, graph }) => {
      const { model: made } = lowerToModel(graph, { dialect, spec, version: 'test', metadata: {}, generatedFile });
      return [file, made] as const;
    }),
  );
}

export function version(text: string): TensorrtVersion {
  return parseVersion(text) ?? expect.fail(`${text} is no version`);
}

/** What is wrong with a model in a version, one line each. */
export function findings(model: OnnxModel, text: string): readonly string[] {
  return illegalNodes(model, version(text)).map(describeFinding);
}

export function describeFinding({ node, op, type, message, hint }: IllegalNode): string {
  return `${node} (${[op, type].filter((part) => part !== undefined).join(', ')}): ${message} ${hint}`;
}
