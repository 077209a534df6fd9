import { storedOrder } from '../architectures/layer-places.ts';
import type { SourceModel } from '../read/source-model.ts';

/**
 * config.json of the unrolled model: what other software, which knows no loops, has to believe. Layers are counted as
 * they run, keys with an entry per layer get one for each of them, and what is usually left to defaults is said.
 */
export function unrolledConfig({ config, recursion, spec }: SourceModel): Readonly<Record<string, unknown>> {
  const order = storedOrder(recursion);
  const { layer_types: types } = config;
  return {
    ...config,
    num_hidden_layers: order.length,
    num_key_value_heads: spec.kvHeads,
    head_dim: spec.headDim,
    use_cache: true,
    ...(Array.isArray(types) && { layer_types: order.map((layer): unknown => types[layer]) }),
    ...windowKeys(spec, order),
  };
}

/** Which layers have a sliding window, in the keys that transformers reads for the architecture. */
function windowKeys(spec: SourceModel['spec'], order: readonly number[]): Readonly<Record<string, unknown>> {
  const windows = order.map((layer) => spec.slidingWindows[layer]);
  const window = windows.find((size) => size !== undefined);
  if (spec.modelType === 'mistral') return { sliding_window: window ?? null };
  if (spec.modelType !== 'qwen2' && spec.modelType !== 'qwen3') return {};
  const first = windows.findIndex((size) => size !== undefined);
  return {
    use_sliding_window: window !== undefined,
    sliding_window: window ?? null,
    layer_types: windows.map((size) => (size === undefined ? 'full_attention' : 'sliding_attention')),
    // Says the same where it can; layer_types goes first.
    max_window_layers: first < 0 ? order.length : first,
  };
}
