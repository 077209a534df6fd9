// Makes an ordinary checkpoint of TinyLlama's shape (22 layers, 1.1 billion parameters, bf16, in two shards with their
// index) of which sharing has something to keep: singular values of every matrix decay as (1 + i)^-0.7, and each layer
// is what all have in common plus something of its own, as large as that. Deterministic; 2.2 GB in about a minute, of
// which three matrices are in memory at a time. There is no tokenizer.
//
//   node bench/make-decaying-model.js DIR [--layers 22]
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { decayingMatrix, randomNumbers, shuffled } from './decaying-matrix.js';

const [hidden, intermediate, heads, kvHeads, vocabulary] = [2048, 5632, 32, 4, 32000];
const kv = (hidden / heads) * kvHeads;
const modules = {
  'self_attn.q_proj': [hidden, hidden],
  'self_attn.k_proj': [kv, hidden],
  'self_attn.v_proj': [kv, hidden],
  'self_attn.o_proj': [hidden, hidden],
  'mlp.gate_proj': [intermediate, hidden],
  'mlp.up_proj': [intermediate, hidden],
  'mlp.down_proj': [hidden, intermediate],
};
const norms = ['input_layernorm', 'post_attention_layernorm'];

/** @returns bytes and parameters of the checkpoint */
export function makeDecayingModel(folder, layers = 22) {
  mkdirSync(folder, { recursive: true });
  const { shards, places } = layOut(layers);
  const files = shards.map(({ name, header }) => {
    const file = openSync(join(folder, name), 'w');
    writeSync(file, header);
    return file;
  });
  const write = (name, bytes) => {
    const { shard, offset } = places.get(name);
    for (let at = 0; at < bytes.length; ) at += writeSync(files[shard], bytes, at, bytes.length - at, offset + at);
  };

  let seed = 0;
  for (const [module, [rows, cols]] of Object.entries(modules)) {
    const common = decayingMatrix(rows, cols, { seed: ++seed });
    const own = decayingMatrix(rows, cols, { seed: ++seed });
    // Entries of weights are about 1 / √cols large: outputs stay as large as inputs.
    const norm = Math.sqrt(common.data.reduce((sum, x) => sum + x * x, 0));
    const scale = (0.5 * Math.sqrt(rows)) / norm;
    for (let layer = 0; layer < layers; layer++) {
      write(`model.layers.${layer}.${module}.weight`, layerOf(common, own, scale, 1000 * seed + layer + 1));
    }
  }
  for (const name of ['model.embed_tokens.weight', 'lm_head.weight']) write(name, noise(vocabulary * hidden, ++seed));
  const ones = bytesOf(new Float32Array(hidden).fill(1));
  for (let i = 0; i < layers; i++) for (const norm of norms) write(`model.layers.${i}.${norm}.weight`, ones);
  write('model.norm.weight', ones);
  for (const file of files) closeSync(file);

  const bytes = [...places.values()].reduce((sum, { length }) => sum + length, 0);
  const json = (name, value) => writeFileSync(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
  json('model.safetensors.index.json', {
    metadata: { total_size: bytes },
    weight_map: Object.fromEntries([...places].map(([name, { shard }]) => [name, shards[shard].name])),
  });
  json('config.json', configOf(layers));
  return { bytes, parameters: bytes / 2 };
}

/**
 * What is common plus what is its own: the same numbers as in every other layer, but rows and columns in an order of
 * the layer, with signs of the layer, so that singular values are the same and vectors have nothing in common.
 */
function layerOf(common, own, scale, seed) {
  const { rows, cols } = common;
  const next = randomNumbers(seed);
  const rowOrder = shuffled(rows, next);
  const columnOrder = shuffled(cols, next);
  const rowSigns = Float32Array.from({ length: rows }, () => (next() < 0.5 ? -scale : scale));
  const columnSigns = Float32Array.from({ length: cols }, () => (next() < 0.5 ? -1 : 1));
  const sum = new Float32Array(rows * cols);
  for (let i = 0; i < rows; i++) {
    const from = rowOrder[i] * cols;
    const at = i * cols;
    const sign = rowSigns[i];
    for (let j = 0; j < cols; j++) {
      sum[at + j] = scale * common.data[at + j] + sign * columnSigns[j] * own.data[from + columnOrder[j]];
    }
  }
  return bytesOf(sum);
}

function noise(length, seed) {
  const next = randomNumbers(seed);
  return bytesOf(Float32Array.from({ length }, () => (next() - 0.5) * 0.07));
}

/** bf16, rounded to the nearest, halves to even. */
function bytesOf(floats) {
  const words = new Uint32Array(floats.buffer);
  const halves = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) halves[i] = (words[i] + 0x7fff + ((words[i] >>> 16) & 1)) >>> 16;
  return Buffer.from(halves.buffer);
}

/** Which shard each tensor is in, and where. */
function layOut(layers) {
  const matrices = (i) => Object.entries(modules).map(([m, dims]) => [`model.layers.${i}.${m}.weight`, dims]);
  const layer = (i) => [...norms.map((norm) => [`model.layers.${i}.${norm}.weight`, [hidden]]), ...matrices(i)];
  const range = (from, to) => Array.from({ length: to - from }, (_, i) => layer(from + i)).flat();
  const half = layers >> 1;
  const lists = [
    [['model.embed_tokens.weight', [vocabulary, hidden]], ...range(0, half)],
    [...range(half, layers), ['model.norm.weight', [hidden]], ['lm_head.weight', [vocabulary, hidden]]],
  ];
  const places = new Map();
  const shards = lists.map((tensors, shard) => {
    const entries = {};
    let offset = 0;
    for (const [name, shape] of tensors) {
      const length = 2 * shape.reduce((product, size) => product * size, 1);
      entries[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + length] };
      places.set(name, { shard, offset, length });
      offset += length;
    }
    let json = JSON.stringify({ __metadata__: { format: 'pt' }, ...entries });
    json += ' '.repeat((8 - (json.length % 8)) % 8);
    const header = Buffer.alloc(8 + json.length);
    header.writeBigUInt64LE(BigInt(json.length));
    header.write(json, 8);
    for (const [name] of tensors) places.get(name).offset += header.length;
    return { name: `model-0000${shard + 1}-of-0000${lists.length}.safetensors`, header };
  });
  return { shards, places };
}

function configOf(layers) {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    torch_dtype: 'bfloat16',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    num_hidden_layers: layers,
    vocab_size: vocabulary,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: 'silu',
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: 2,
  };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { layers: { type: 'string', default: '22' } },
  });
  if (positionals.length !== 1) {
    console.error('usage: node bench/make-decaying-model.js DIR [--layers 22]');
    process.exit(2);
  }
  const { bytes, parameters } = makeDecayingModel(positionals[0], Number(values.layers));
  console.log(`${positionals[0]}: ${(parameters / 1e6).toFixed(0)} million parameters, ${(bytes / 1e9).toFixed(2)} GB`);
}
