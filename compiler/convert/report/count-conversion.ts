import { failure, hasErrors, type Result, success } from '../../../files/diagnostics.ts';
import type { SafetensorsFile } from '../../../files/safetensors.ts';
import type { DecoderSpec } from '../../architectures/decoder-spec.ts';
import { expectedTensors } from '../../read/expected-tensors.ts';
import type { SourceModel, SourceTensor } from '../../read/source-model.ts';
import type { ConvertOptions } from '../convert-options.ts';
import type { ConvertResult } from '../convert-result.ts';
import { planModel } from '../plan-conversion.ts';

/** Parameters of low-rank factors: B [rows, rank] and A [rank, cols] of each matrix. */
export function loraParameters(
  matrices: readonly { readonly rows: number; readonly cols: number; readonly rank: number }[],
): number {
  return matrices.reduce((sum, { rows, cols, rank }) => sum + rank * (rows + cols), 0);
}

/**
 * The parameters that converting a model of this shape gives, before there is a weight: counted over the same plan that
 * converts. Ranks have to be given; those of a budget depend on weights.
 */
export function countConversion(
  spec: DecoderSpec,
  options: Omit<ConvertOptions, 'model' | 'out' | 'lora'> & {
    readonly lora?: Extract<ConvertOptions['lora'], { rank: unknown }>;
  },
): Result<ConvertResult['parameters']> {
  const planned = planModel(withoutWeights(spec), { ...options, model: spec.modelType, out: spec.modelType });
  if (!planned.ok || hasErrors(planned.diagnostics)) return failure(...planned.diagnostics);
  const { parameters, ranks } = planned.value;
  const lora = loraParameters(ranks.ranked.map(({ matrix: { rows, cols }, rank }) => ({ rows, cols, rank })));
  const { original: originalLayers, stored: storedLayers, other } = parameters;
  return success({ originalLayers, storedLayers, lora, convertedLayers: storedLayers + lora, other });
}

/** An ordinary model of this shape, of which nothing can be read. */
export function withoutWeights(spec: DecoderSpec): SourceModel {
  const recursion = { prelude: 0, block: spec.storedLayers, loops: 1, coda: 0 };
  const file: SafetensorsFile = {
    path: '',
    absolutePath: '',
    size: 0,
    dataStart: 0,
    headerHash: '',
    metadata: {},
    tensors: new Map(),
  };
  const tensors = [...expectedTensors(spec, recursion, undefined).values()].map(({ name, shape }): SourceTensor => {
    // Only low-rank factors have a size that is not known, and an ordinary model has none.
    return { name, shape: shape.map(Number), dtype: 'bf16', offset: 0, length: 0, file };
  });
  return {
    name: spec.modelType,
    folder: '',
    modelJson: undefined,
    configPath: 'config.json',
    config: {},
    spec,
    recursion,
    lora: undefined,
    exits: undefined,
    files: [file],
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    companions: [],
  };
}
