import { showValue } from '../../files/json.ts';
import type { ConfigFields } from './config-fields.ts';

type Windows = readonly (number | undefined)[];

/** Llama, Gemma and GPT-NeoX: every layer sees all positions, and a config that asks for anything else is refused. */
export function noSlidingWindows(config: ConfigFields, storedLayers: number): Windows {
  if (config.has('sliding_window')) {
    const message = `${config.text('model_type', '')} has no sliding window, but the config asks for ${showValue(config.raw('sliding_window'))}.`;
    config.error(
      'unsupported-feature',
      'sliding_window',
      message,
      'Transformers ignores it; remove the key to do the same.',
    );
  }
  const windows = Array.from({ length: storedLayers }, () => undefined);
  return agreesWithLayerTypes(config, windows);
}

/** Mistral: all layers have the window of `sliding_window`, or none has when it is null. */
export function oneSlidingWindow(config: ConfigFields, storedLayers: number, absent: number): Windows {
  const window = config.optionalCount('sliding_window', absent);
  return agreesWithLayerTypes(
    config,
    Array.from({ length: storedLayers }, () => window),
  );
}

/**
 * Qwen2 and Qwen3: with `use_sliding_window`, the layers that `layer_types` says, or those from `max_window_layers` on.
 */
export function slidingWindowsByLayer(config: ConfigFields, storedLayers: number): Windows {
  const given = config.optionalCount('sliding_window', 4096);
  const window = config.flag('use_sliding_window', false) ? given : undefined;
  const from = config.count('max_window_layers', 28, 0);
  const types = readLayerTypes(config, storedLayers);
  if (types === undefined) return Array.from({ length: storedLayers }, (_, i) => (i >= from ? window : undefined));
  return types.map((type, i) => {
    if (type === 'full_attention') return undefined;
    if (type !== 'sliding_attention') {
      config.error(
        'unsupported-feature',
        'layer_types',
        `Layer ${i} is of type "${type}"; rtc has full_attention and sliding_attention.`,
      );
    } else if (window === undefined) {
      const message = `Layer ${i} is of type "sliding_attention", but there is no window: use_sliding_window is ${showValue(config.raw('use_sliding_window') ?? false)}, sliding_window ${showValue(given ?? null)}.`;
      config.error('contradiction', 'layer_types', message);
    }
    return window;
  });
}

/** Transformers ignores layer_types for these architectures; that is right only where it says nothing else. */
function agreesWithLayerTypes(config: ConfigFields, windows: Windows): Windows {
  const types = readLayerTypes(config, windows.length) ?? [];
  const wrong = types.findIndex(
    (type, i) => type !== (windows[i] === undefined ? 'full_attention' : 'sliding_attention'),
  );
  if (wrong >= 0) {
    const message = `${config.text('model_type', '')} has one kind of layer, but layer_types says that layer ${wrong} is "${types[wrong]}".`;
    config.error('unsupported-feature', 'layer_types', message);
  }
  return windows;
}

/** One type per stored layer; `attention` is an old name of `full_attention`. */
function readLayerTypes(config: ConfigFields, storedLayers: number): readonly string[] | undefined {
  if (!config.has('layer_types')) return undefined;
  const types = config.raw('layer_types');
  if (!Array.isArray(types) || !types.every((type) => typeof type === 'string')) {
    config.error('wrong-type', 'layer_types', `Expected a list of texts at "layer_types", found ${showValue(types)}.`);
    return undefined;
  }
  if (types.length !== storedLayers) {
    const message = `layer_types has ${types.length} entries, but num_hidden_layers is ${storedLayers}.`;
    config.error('contradiction', 'layer_types', message, 'It counts the layers stored, not those unrolled.');
    return undefined;
  }
  return types.map((type) => (type === 'attention' ? 'full_attention' : type));
}
