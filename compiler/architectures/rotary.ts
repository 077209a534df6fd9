import type { ConfigFields } from './config-fields.ts';
import type { RotarySpec } from './decoder-spec.ts';
import { llama3Frequencies, plainFrequencies, scaledFrequencies, yarnFrequencies } from './rotary-frequencies.ts';

/** What an architecture brings to the reading of its rotary embedding. */
export interface RotaryContext {
  readonly headDim: number;
  readonly maxPositions: number;
  /** The key of transformers 4 for the base: `rope_theta`, or `rotary_emb_base` of GPT-NeoX. */
  readonly thetaKey: string;
  /** The key of transformers 4 for the part of a head that rotates, and its default. */
  readonly partial: { readonly key: string; readonly absent: number };
  /** Llama's relatives rotate whole heads: their code ignores the factor, or fails on it, by version. */
  readonly mayBePartial: boolean;
}

const supported = ['default', 'linear', 'llama3', 'yarn'];

/** What transformers reads for each kind, beside rope_theta, rope_type, type and partial_rotary_factor. */
const keysOf: Readonly<Record<string, readonly string[]>> = {
  default: [],
  linear: ['factor'],
  llama3: ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'],
  yarn: [
    'factor',
    'original_max_position_embeddings',
    'attention_factor',
    'beta_fast',
    'beta_slow',
    'mscale',
    'mscale_all_dim',
    'truncate',
  ],
};

/**
 * The rotary embedding of a config.json in any of its three styles: `rope_parameters` (transformers 5), `rope_theta`
 * with `rope_scaling`, or GPT-NeoX's `rotary_emb_base` with `rotary_pct`. As in transformers, `rope_scaling` goes
 * before `rope_parameters`, and what these say goes before keys beside them; but two that contradict each other are
 * refused, because versions of transformers choose differently.
 */
export function readRotary(config: ConfigFields, context: RotaryContext): RotarySpec {
  const rope = ropeObject(config);
  const theta = once(config, rope, 'rope_theta', context.thetaKey, 10_000);
  const partial = once(config, rope, 'partial_rotary_factor', context.partial.key, context.partial.absent);
  const where = rope ?? config;
  if (partial !== 1 && !context.mayBePartial) {
    const message = `${config.text('model_type', '')} rotates whole heads, so a partial_rotary_factor of ${partial} cannot be honoured.`;
    where.error(
      'unsupported-rope',
      rope?.has('partial_rotary_factor') ? 'partial_rotary_factor' : context.partial.key,
      message,
    );
  }
  const dim = Math.trunc(context.headDim * partial);
  // Like torch.arange(0, dim, 2), which rounds an odd dim up.
  const dims = 2 * Math.ceil(dim / 2);
  if (dims < 2 || dims > context.headDim) {
    const message = `${partial} of a head's ${context.headDim} dimensions would rotate; an even number of them from 2 to ${context.headDim} is needed.`;
    where.error('unsupported-rope', 'partial_rotary_factor', message);
    return { dims: 2, inverseFrequencies: [1], attentionFactor: 1 };
  }
  const spec = { dims, ...frequencies(config, rope, theta, dim, context) };
  if (!spec.inverseFrequencies.every((f) => Number.isFinite(f) && f > 0) || !Number.isFinite(spec.attentionFactor)) {
    where.error('unsupported-rope', 'rope_theta', `With a base of ${theta} the rotary frequencies are beyond float32.`);
  }
  return spec;
}

function ropeObject(config: ConfigFields): ConfigFields | undefined {
  const scaling = config.object('rope_scaling');
  const parameters = config.object('rope_parameters');
  if (scaling !== undefined && parameters !== undefined) {
    const message = '"rope_scaling" and "rope_parameters" are both given; as in transformers, the first is used.';
    config.warning('ignored-key', 'rope_parameters', message, 'Remove one of them.');
  }
  const rope = scaling ?? parameters;
  if (rope === undefined) return undefined;
  // By layer type; transformers refuses that for these architectures, but equal ones can only mean one thing.
  const nested = rope.keys().filter((key) => key.endsWith('_attention'));
  const [first, ...others] = nested;
  if (first === undefined) return rope;
  const same = (a: unknown, b: unknown) => canonical(a) === canonical(b);
  if (nested.length < rope.keys().length || others.some((key) => !same(rope.raw(key), rope.raw(first)))) {
    const message = `Rotary parameters that differ by layer type are not supported: ${nested.join(', ')}.`;
    rope.error('unsupported-rope', first, message);
  }
  return rope.object(first);
}

/**
 * A number that may stand in the rope object or, under its name of transformers 4, beside it, but not as two different
 * ones. GPT-NeoX ignores the name of the other architectures beside it, so that too may only say the same.
 */
function once(
  config: ConfigFields,
  rope: ConfigFields | undefined,
  key: string,
  oldKey: string,
  absent: number,
): number {
  const inside = rope?.raw(key) === undefined ? undefined : rope.positive(key, absent);
  const names = [...new Set([oldKey, key])].filter(config.has);
  const beside = new Map(names.map((name) => [name, config.positive(name, absent)]));
  const used = inside ?? beside.get(oldKey) ?? absent;
  const source = inside === undefined ? oldKey : rope?.name(key);
  const byDefault = inside === undefined && !beside.has(oldKey) ? ' by default' : '';
  for (const [name, said] of beside) {
    if (said === used) continue;
    const message = `"${source}" is ${used}${byDefault}, but "${name}" is ${said}.`;
    config.error('contradiction', name, message, 'Versions of transformers choose differently; remove one of them.');
  }
  return used;
}

function frequencies(
  config: ConfigFields,
  rope: ConfigFields | undefined,
  theta: number,
  dim: number,
  { maxPositions }: RotaryContext,
): Omit<RotarySpec, 'dims'> {
  const plain = { inverseFrequencies: plainFrequencies(theta, dim), attentionFactor: 1 };
  if (rope === undefined) return plain;
  const typeKey = rope.has('rope_type') ? 'rope_type' : 'type';
  const kind = rope.has(typeKey) ? rope.text(typeKey, 'default') : 'default';
  const known = Object.hasOwn(keysOf, kind) ? keysOf[kind] : undefined;
  if (known === undefined) {
    const why = kind === 'dynamic' ? ': its result depends on the other sequences of a batch' : '';
    const message = `Rotary scaling of kind "${kind}" is not supported${why}.`;
    rope.error('unsupported-rope', typeKey, message, `Supported are ${supported.join(', ')}.`);
    return plain;
  }
  for (const key of rope.keys()) {
    if (['rope_type', 'type', 'rope_theta', 'partial_rotary_factor', ...known].includes(key)) continue;
    rope.warning('ignored-key', key, `"${rope.name(key)}" means nothing to rotary scaling of kind "${kind}".`);
  }
  if (kind === 'default') return plain;
  // Transformers lets the key beside the object go first.
  const original = config.has('original_max_position_embeddings')
    ? config.count('original_max_position_embeddings', maxPositions)
    : rope.count('original_max_position_embeddings', maxPositions);
  const required = (key: string) => {
    if (rope.raw(key) === undefined) {
      rope.error('missing-key', key, `Rotary scaling of kind "${kind}" needs "${rope.name(key)}", a number.`);
    }
    return rope.positive(key, 1);
  };
  switch (kind) {
    case 'linear':
      return { inverseFrequencies: scaledFrequencies(theta, dim, required('factor')), attentionFactor: 1 };
    case 'llama3': {
      const low = required('low_freq_factor');
      const high = required('high_freq_factor');
      const factor = required('factor');
      if (low === high && rope.has('low_freq_factor') && rope.has('high_freq_factor')) {
        const message = `"${rope.name('high_freq_factor')}" and low_freq_factor are both ${low}; they must differ.`;
        rope.error('wrong-value', 'high_freq_factor', message);
        return plain;
      }
      return {
        inverseFrequencies: llama3Frequencies(theta, dim, { factor, low, high, original }),
        attentionFactor: 1,
      };
    }
    default:
      return readYarn(rope, theta, dim, original, maxPositions, required);
  }
}

function readYarn(
  rope: ConfigFields,
  theta: number,
  dim: number,
  original: number,
  maxPositions: number,
  required: (key: string) => number,
): Omit<RotarySpec, 'dims'> {
  const implied = maxPositions / original;
  const factor = rope.raw('factor') === null ? implied : required('factor');
  if (factor !== implied && implied !== 1) {
    const message = `"${rope.name('factor')}" is ${factor}, but max_position_embeddings / original_max_position_embeddings is ${implied}; as in transformers 5, the factor is used.`;
    rope.warning('contradiction', 'factor', message, 'Transformers 4 uses the ratio; make them agree.');
  }
  if (dim % 2 === 1 || theta === 1) {
    rope.error(
      'unsupported-rope',
      'rope_theta',
      `Yarn cannot be computed for ${dim} dimensions and a base of ${theta}.`,
    );
    return { inverseFrequencies: plainFrequencies(theta, dim), attentionFactor: 1 };
  }
  const mscale = zeroIsAbsent(rope, 'mscale');
  const mscaleAllDim = zeroIsAbsent(rope, 'mscale_all_dim');
  return yarnFrequencies(theta, dim, {
    factor,
    original,
    attentionFactor: rope.optionalPositive('attention_factor'),
    mscale,
    mscaleAllDim,
    betaFast: zeroIsAbsent(rope, 'beta_fast') ?? 32,
    betaSlow: zeroIsAbsent(rope, 'beta_slow') ?? 1,
    truncate: rope.raw('truncate') === null ? false : rope.flag('truncate', true),
  });
}

/** As Python's `x or default`. */
function zeroIsAbsent(rope: ConfigFields, key: string): number | undefined {
  return rope.raw(key) === 0 ? undefined : rope.optionalPositive(key);
}

function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return JSON.stringify(value);
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`).join(',')}}`;
}
