import { config, type Malformed } from './change.ts';

/** Rotary embeddings that rtc does not have, or that contradict themselves. */
export const malformedRotary: readonly Malformed[] = [
  ...['dynamic', 'longrope', 'proportional', 'su', 'toString'].map(
    (kind): Malformed => ({
      title: `rotary scaling of kind ${kind}`,
      make: config((c) => (c.rope_parameters.rope_type = kind)),
      code: 'unsupported-rope',
      at: 'rope_parameters.rope_type',
      says: [`of kind "${kind}" is not supported`],
    }),
  ),
  {
    title: 'linear scaling without a factor',
    make: config((c) => (c.rope_parameters.rope_type = 'linear')),
    code: 'missing-key',
    at: 'rope_parameters.factor',
    says: ['needs "rope_parameters.factor", a number'],
  },
  {
    title: 'a factor of nothing',
    make: config((c) => Object.assign(c.rope_parameters, { rope_type: 'linear', factor: 0 })),
    code: 'wrong-value',
    at: 'rope_parameters.factor',
    says: ['a number above 0'],
  },
  {
    title: 'llama3 scaling with equal bounds',
    make: config((c) =>
      Object.assign(c.rope_parameters, { rope_type: 'llama3', factor: 8, low_freq_factor: 4, high_freq_factor: 4 }),
    ),
    code: 'wrong-value',
    at: 'rope_parameters.high_freq_factor',
    says: ['both 4', 'must differ'],
  },
  {
    title: 'two bases',
    make: config((c) => (c.rope_theta = 500_000)),
    code: 'contradiction',
    at: 'rope_theta',
    says: ['"rope_parameters.rope_theta" is 10000', '"rope_theta" is 500000'],
  },
  {
    title: "the base of GPT-NeoX under Llama's name",
    make: config((c) => Object.assign(c, { rope_theta: 500_000, rope_parameters: null }), {
      modelType: 'gpt_neox',
      kvHeads: 4,
    }),
    code: 'contradiction',
    at: 'rope_theta',
    says: ['"rotary_emb_base" is 10000 by default, but "rope_theta" is 500000'],
  },
  {
    title: 'a rope that is text',
    make: config((c) => (c.rope_parameters = 'default')),
    code: 'wrong-type',
    at: 'rope_parameters',
    says: ['an object', '"default"'],
  },
  {
    title: 'half a head in Llama',
    make: config((c) => (c.rope_parameters.partial_rotary_factor = 0.5)),
    code: 'unsupported-rope',
    says: ['rotates whole heads', '0.5'],
  },
  {
    title: 'more than a head',
    make: config((c) => (c.rope_parameters.partial_rotary_factor = 1.5), { modelType: 'gpt_neox' }),
    code: 'unsupported-rope',
    says: ['1.5 of a head', 'an even number of them from 2 to 8'],
  },
  {
    title: 'rotary parameters by layer type',
    make: config(
      (c) =>
        (c.rope_parameters = {
          full_attention: { rope_type: 'default', rope_theta: 1e6 },
          sliding_attention: { rope_type: 'default', rope_theta: 1e4 },
        }),
      { modelType: 'qwen3' },
    ),
    code: 'unsupported-rope',
    says: ['differ by layer type'],
  },
  {
    title: 'a base beyond float32',
    make: config((c) => (c.rope_parameters.rope_theta = 1e300)),
    code: 'unsupported-rope',
    says: ['beyond float32'],
  },
];
