import * as fc from 'fast-check';
import { type TinyModelOptions, type TinyRope, tinyDefaults } from './tiny-model.ts';

const ropes: fc.Arbitrary<TinyRope> = fc.oneof(
  fc.constant<TinyRope>({ kind: 'default' }),
  fc.constantFrom(2, 3.5).map((factor): TinyRope => ({ kind: 'linear', factor })),
  fc.constant<TinyRope>({ kind: 'llama3', factor: 8, low: 1, high: 4, original: 32 }),
  fc
    .constantFrom<Readonly<Record<string, number | boolean>>[]>(
      {},
      { truncate: false },
      { attention_factor: 1.25 },
      { mscale: 1, mscale_all_dim: 0.8 },
      { beta_fast: 16, beta_slow: 2 },
    )
    .map((more): TinyRope => ({ kind: 'yarn', factor: 4, original: 32, more })),
);

const dtypes = fc.constantFrom('f32' as const, 'f16' as const, 'bf16' as const);

/**
 * Any tiny model that is valid: every architecture, with any mix of the features that it has.
 * `over` fixes what a test wants fixed.
 */
export function tinyModelOptions(over: Partial<TinyModelOptions> = {}): fc.Arbitrary<TinyModelOptions> {
  const shape = fc.record({
    seed: fc.integer({ min: 0, max: 1e6 }),
    modelType: fc.constantFrom('llama', 'mistral', 'qwen2', 'qwen3', 'gemma', 'gpt_neox'),
    prelude: fc.integer({ min: 0, max: 1 }),
    block: fc.integer({ min: 1, max: 3 }),
    loops: fc.integer({ min: 1, max: 4 }),
    coda: fc.integer({ min: 0, max: 1 }),
    kvHeads: fc.constantFrom(1, 2),
    group: fc.constantFrom(1, 2, 3),
    headDim: fc.constantFrom(8, 12, 16),
    hiddenSize: fc.constantFrom(24, 32, 40),
    intermediateSize: fc.constantFrom(24, 44),
    vocabSize: fc.constantFrom(40, 64),
    tied: fc.boolean(),
    activation: fc.constantFrom('silu', 'gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'relu'),
    theta: fc.constantFrom(10_000, 500_000),
    rope: ropes,
    transformers: fc.constantFrom(4, 5),
    partialRotary: fc.constantFrom(0.25, 0.5, 1),
    parallelResidual: fc.boolean(),
    attentionBias: fc.boolean(),
    mlpBias: fc.boolean(),
    slidingWindow: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
    windowed: fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }),
    ranks: fc.option(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 4, maxLength: 4 }), { nil: undefined }),
    everyTarget: fc.boolean(),
    alpha: fc.option(fc.constantFrom(4, 0.5), { nil: undefined }),
    exits: fc.option(
      fc.record({
        after: fc.subarray([1, 2, 3]),
        confidence: fc.constantFrom('top1', 'margin', 'entropy'),
        threshold: fc.constantFrom(0, 0.5, 0.9, 1),
      }),
      { nil: undefined },
    ),
    dtype: dtypes,
    loraDtype: dtypes,
    shards: fc.constantFrom(1, 2, 3),
    modelJson: fc.boolean(),
  });
  return shape.map(({ group, everyTarget, ...o }): TinyModelOptions => {
    const drawn = { ...tinyDefaults, ...o, heads: o.kvHeads * group, ...over };
    const one = drawn.modelType === 'gpt_neox' ? ['attention.dense'] : ['self_attn.v_proj', 'mlp.down_proj'];
    const ranks = drawn.ranks?.slice(0, drawn.loops);
    const after = drawn.exits?.after.filter((loop) => loop < drawn.loops) ?? [];
    // An ordinary folder cannot say more than that all layers run once.
    const plain = drawn.loops === 1 && drawn.prelude + drawn.coda === 0;
    const hasRanks = ranks?.some((rank) => rank > 0) ?? false;
    const modelJson = drawn.modelJson || !plain || hasRanks;
    return {
      ...drawn,
      ...(drawn.modelType === 'gpt_neox' ? { kvHeads: drawn.heads } : {}),
      // Yarn and an odd count of rotating dimensions do not go together.
      ...(drawn.modelType === 'gpt_neox' && drawn.headDim === 12 && drawn.partialRotary === 0.25
        ? { partialRotary: 0.5 }
        : {}),
      // By the seed, so that the same draw is the same model in all else.
      norms: over.norms ?? (modelJson && drawn.seed % 3 === 0 ? 'per-depth' : undefined),
      ranks: hasRanks ? ranks : undefined,
      targets: drawn.targets ?? (everyTarget ? undefined : one),
      exits: drawn.exits === undefined || after.length === 0 ? undefined : { ...drawn.exits, after },
      modelJson,
    };
  });
}

/** Numbers relabelled so that every one from 0 to the largest is there. */
function compact(list: readonly number[]): readonly number[] {
  const used = [...new Set(list)].toSorted((a, b) => a - b);
  return list.map((number) => used.indexOf(number));
}

/**
 * Any tiny model whose layers run in an order that is not a cycle, or that is one and does not say so: sequences, lists
 * of any kind, lists that repeat a block.
 */
export function orderedModelOptions(over: Partial<TinyModelOptions> = {}): fc.Arbitrary<TinyModelOptions> {
  const some = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 });
  const order = fc.oneof(
    fc.constant(undefined),
    fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 2, maxLength: 7 }).map(compact),
    fc
      .record({ block: some, loops: fc.integer({ min: 2, max: 3 }), before: fc.boolean(), behind: fc.boolean() })
      .map(({ block, loops, before, behind }) => [
        ...(before ? [9] : []),
        ...Array.from({ length: loops }, () => block).flat(),
        ...(behind ? [8] : []),
      ])
      .map(compact),
  );
  return fc
    .record({ options: tinyModelOptions({ modelJson: true, exits: undefined, ...over }), order })
    .map(({ options, order: layers }): TinyModelOptions => {
      const ranks = options.ranks && [...options.ranks, 1, 0, 2, 1].slice(0, 4);
      const most = layers ? Math.max(...layers.map((layer) => layers.filter((other) => other === layer).length)) : 4;
      const hasRanks = ranks?.slice(0, most).some((rank) => rank > 0) ?? false;
      return {
        ...options,
        ...(layers ? { layers } : { order: 'sequence' as const }),
        ranks: hasRanks ? ranks : undefined,
      };
    });
}
