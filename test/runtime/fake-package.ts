import type { PackageManifest } from '../../files/manifest.ts';
import type { LoadedGraph } from '../../runtime/load-package.ts';
import type { GraphSession, HostTensor } from '../../runtime/session.ts';

export const vocabulary = 50;
const heads = 2;
const headDim = 3;

/** What a call of the fake graph was given. */
export interface Call {
  readonly inputIds: readonly (readonly number[])[];
  readonly attentionMask: readonly (readonly number[])[];
  readonly positionIds: readonly (readonly number[])[];
  readonly past: number;
  readonly maxLoops: number | undefined;
  readonly exitThreshold: number | undefined;
}

export interface FakePackage extends LoadedGraph {
  readonly calls: Call[];
}

/**
 * A package whose model is a rule instead of a network: the next token is the sum of token · (position + 1) over all
 * that a token attends to, modulo the vocabulary. What it attends to comes out of the cache that is fed back, so a mask,
 * a position or a cache row in the wrong place gives other tokens. {@link continuation} is the rule without any batch.
 * In the form `loop` a token leaves after loop 1 + token % 3, where the threshold is below 1.
 */
export function fakePackage(form: 'unrolled' | 'loop', endTokens: readonly number[] = []): FakePackage {
  const calls: Call[] = [];
  const cache = form === 'loop' ? [3, 'batch', heads, 'past', headDim] : ['batch', heads, 'past', headDim];
  const inputs = [
    ...['input_ids', 'attention_mask', 'position_ids'].map((name) => ({ name, dtype: 'i64', dims: ['batch', 'x'] })),
    ...['key', 'value'].map((name) => ({ name: `past_key_values.0.${name}`, dtype: 'f32', dims: cache })),
  ];
  const manifest = {
    form,
    graphs: { 'model.onnx': { inputs, outputs: [] } },
    recursion: { prelude: 0, block: 1, loops: 3, coda: 0 },
    exits: { after: [1, 2], confidence: 'top1', threshold: 0.5, logits: false },
    config: { max_position_embeddings: 32, vocab_size: vocabulary },
  } as unknown as PackageManifest;
  const run: GraphSession['run'] = async (feeds) => {
    calls.push(describeCall(feeds));
    return fakeRun(form, feeds);
  };
  const session: GraphSession = {
    inputs: [],
    outputs: [],
    close: async () => {},
    run,
    bind: (bound) => ({ run: (feeds, outputs) => run({ ...bound, ...feeds }, outputs) }),
  };
  return { folder: '/fake', manifest, session, tokenizer: undefined, endTokens, close: session.close, calls };
}

/** The tokens that the rule gives, one sequence alone. */
export function continuation(prompt: readonly number[], count: number): readonly number[] {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    tokens.push(tokens.reduce((sum, token, position) => sum + token * (position + 1), 0) % vocabulary);
  }
  return tokens.slice(prompt.length);
}

function fakeRun(form: string, feeds: Readonly<Record<string, HostTensor>>): Record<string, HostTensor> {
  const [batch, sequence] = feeds.input_ids!.dims as [number, number];
  const past = feeds['past_key_values.0.key']!.dims.at(-2)!;
  const depths = form === 'loop' ? 3 : 1;
  const all = past + sequence;
  const leading = form === 'loop' ? [3, batch] : [batch];
  const logits = new Float32Array(batch * sequence * vocabulary);
  const exits = new BigInt64Array(batch * sequence);
  const key = new Float32Array(depths * batch * heads * all * headDim);
  const value = new Float32Array(key.length);
  const cell = (length: number, d: number, b: number, h: number, t: number) =>
    ((((d * batch + b) * heads + h) * length + t) * headDim) as number;
  for (let b = 0; b < batch; b++) {
    for (let d = 0; d < depths; d++) {
      for (let h = 0; h < heads; h++) {
        for (let t = 0; t < all; t++) {
          const from = cell(past, d, b, h, t);
          const token =
            t < past ? feeds['past_key_values.0.key']!.data[from] : feeds.input_ids!.data[b * sequence + t - past];
          const place =
            t < past ? feeds['past_key_values.0.value']!.data[from] : feeds.position_ids!.data[b * sequence + t - past];
          key.fill(Number(token), cell(all, d, b, h, t), cell(all, d, b, h, t) + headDim);
          value.fill(Number(place), cell(all, d, b, h, t), cell(all, d, b, h, t) + headDim);
        }
      }
    }
    for (let s = 0; s < sequence; s++) {
      let sum = 0;
      for (let t = 0; t <= past + s; t++) {
        // Reads the last depth and head, so that rows taken from the wrong place show.
        const at = cell(all, depths - 1, b, heads - 1, t);
        if (feeds.attention_mask!.data[b * all + t]) sum += key[at]! * (value[at]! + 1);
      }
      logits[(b * sequence + s) * vocabulary + (sum % vocabulary)] = 1;
      const leaves =
        Number(feeds.exit_threshold?.data[0]) < 1 ? 1 + (Number(feeds.input_ids!.data[b * sequence + s]) % 3) : 3;
      exits[b * sequence + s] = BigInt(Math.min(leaves, Number(feeds.max_loops?.data[0] ?? 3)));
    }
  }
  const dims = [...leading, heads, all, headDim];
  return {
    logits: { type: 'f32', dims: [batch, sequence, vocabulary], data: logits },
    'present.0.key': { type: 'f32', dims, data: key },
    'present.0.value': { type: 'f32', dims, data: value },
    ...(form === 'loop' ? { exit_loop: { type: 'i64', dims: [batch, sequence], data: exits } as const } : {}),
  };
}

function describeCall(feeds: Readonly<Record<string, HostTensor>>): Call {
  const rows = ({ dims, data }: HostTensor) =>
    Array.from({ length: dims[0]! }, (_, row) =>
      Array.from(data.slice(row * dims[1]!, (row + 1) * dims[1]!) as BigInt64Array, Number),
    );
  return {
    inputIds: rows(feeds.input_ids!),
    attentionMask: rows(feeds.attention_mask!),
    positionIds: rows(feeds.position_ids!),
    past: feeds['past_key_values.0.key']!.dims.at(-2)!,
    maxLoops: feeds.max_loops && Number(feeds.max_loops.data[0]),
    exitThreshold: feeds.exit_threshold && Number(feeds.exit_threshold.data[0]),
  };
}
