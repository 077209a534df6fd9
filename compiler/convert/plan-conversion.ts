import { type Result, success } from '../../files/diagnostics.ts';
import { expectedTensors } from '../read/expected-tensors.ts';
import { readModel } from '../read/read-model.ts';
import type { SourceModel } from '../read/source-model.ts';
import { chooseRanks, type RankPlan } from './choose-ranks.ts';
import type { ConvertOptions } from './convert-options.ts';
import { type PlannedSharing, planSharing } from './plan-sharing.ts';
import { type PlannedTensors, planTensors } from './stored-tensors.ts';

/** All that is decided before a weight is read. */
export interface Conversion extends PlannedSharing, PlannedTensors {
  readonly model: SourceModel;
  readonly ranks: RankPlan;
  readonly parameters: { readonly original: number; readonly stored: number; readonly other: number };
}

/** Reads a model and decides what becomes of it; all that is wrong with either comes back. */
export async function planConversion(options: ConvertOptions): Promise<Result<Conversion>> {
  const { signal, onProgress } = options;
  onProgress?.({ step: 'read' });
  const read = await readModel(options.model, signal ? { signal } : {});
  if (!read.ok) return read;
  const planned = planModel(read.value, options);
  return planned.ok ? success(planned.value, [...read.diagnostics, ...planned.diagnostics]) : planned;
}

/** {@link planConversion} of a model that was read. Looks at names, shapes and types of its tensors, at no file. */
export function planModel(model: SourceModel, options: ConvertOptions): Result<Conversion> {
  const { norms = 'shared', dtype, lora } = options;
  const location = { file: options.model };
  const sharing = planSharing(model, options, location);
  if (!sharing.ok) return sharing;
  const { shared, origins } = sharing.value;
  const tensors = planTensors(model, shared, origins, { norms, dtype });
  const parameters = countParameters(model, tensors);
  const ranks = chooseRanks(model, tensors.matrices, parameters, { lora });
  if (!ranks.ok) return ranks;
  return success({ model, ...sharing.value, ...tensors, ranks: ranks.value, parameters });
}

function countParameters(model: SourceModel, { stored }: PlannedTensors): Conversion['parameters'] {
  const elements = (shape: readonly number[]) => shape.reduce((product, dim) => product * dim, 1);
  const sum = (ofLayer: boolean) =>
    stored.reduce((total, tensor) => total + (tensor.ofLayer === ofLayer ? elements(tensor.shape) : 0), 0);
  const layers = `${model.spec.names.layers}.`;
  const originals = neededTensors(model);
  let original = 0;
  for (const { name, shape } of model.tensors.values()) {
    if (originals.has(name) && name.startsWith(layers)) original += elements(shape);
  }
  return { original, stored: sum(true), other: sum(false) };
}

/** Every tensor that counts: some checkpoints have more, such as buffers of old versions. */
export function neededTensors({ spec, recursion }: SourceModel): ReadonlySet<string> {
  return new Set(expectedTensors(spec, recursion, undefined).keys());
}
