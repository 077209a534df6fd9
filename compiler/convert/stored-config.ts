import type { SharedLayers } from '../../convert/sharing.ts';
import { layersOf, storedLayers } from '../../convert/sharing.ts';
import type { SourceModel } from '../read/source-model.ts';
import type { ConvertedDType } from './convert-options.ts';

const dtypeNames: Readonly<Record<ConvertedDType, string>> = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' };

/**
 * config.json of the converted model: the original's, with layers counted as they are stored, and what it says of each
 * layer said of each that is stored. All layers that a stored one replaces have to be of one kind.
 */
export function storedConfig(
  { config, spec }: Pick<SourceModel, 'config' | 'spec'>,
  shared: SharedLayers,
  dtype: ConvertedDType | undefined,
): Readonly<Record<string, unknown>> {
  const count = storedLayers(shared);
  const firsts = layersOf(shared).map(([first]) => first!);
  const { layer_types: types } = config;
  const replaced: Record<string, unknown> = { num_hidden_layers: count };
  if (Array.isArray(types)) replaced.layer_types = firsts.map((layer): unknown => types[layer]);
  if (spec.modelType === 'qwen2' || spec.modelType === 'qwen3') {
    const windowed = firsts.map((layer) => spec.slidingWindows[layer] !== undefined);
    const from = windowed.indexOf(true);
    const first = from < 0 ? count : from;
    if (from >= 0 || config.max_window_layers !== undefined) replaced.max_window_layers = first;
    // Without a list, all layers from the first on would have a window.
    if (!Array.isArray(types) && windowed.slice(first).includes(false)) {
      replaced.layer_types = windowed.map((is) => (is ? 'sliding_attention' : 'full_attention'));
    }
  }
  if (dtype !== undefined) {
    for (const key of ['dtype', 'torch_dtype']) if (config[key] !== undefined) replaced[key] = dtypeNames[dtype];
  }
  // Known keys stay in their place.
  return { ...config, ...replaced };
}
