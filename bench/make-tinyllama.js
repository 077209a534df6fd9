// Makes a recursive model of TinyLlama's shape (block 11 × 2 loops: 1.1 billion parameters unrolled, 0.62 billion
// stored) with random bf16 weights: 1.2 GB that behave like a checkpoint. Deterministic; takes a few seconds.
//
//   node bench/make-tinyllama.js DIR [--lora RANK]
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const config = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  torch_dtype: 'bfloat16',
  hidden_size: 2048,
  intermediate_size: 5632,
  num_attention_heads: 32,
  num_key_value_heads: 4,
  num_hidden_layers: 11,
  vocab_size: 32000,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 2,
};
const loops = 2;
const targets = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((m) => `self_attn.${m}`);
targets.push('mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj');

export function makeTinyLlama(folder, rank = 0) {
  mkdirSync(folder, { recursive: true });
  const tensors = shapes(rank);
  const header = {};
  let offset = 0;
  for (const [name, shape] of tensors) {
    const bytes = 2 * shape.reduce((n, d) => n * d, 1);
    header[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  let json = JSON.stringify(header);
  json += ' '.repeat((8 - (json.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));

  const file = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(file, length);
  writeSync(file, json);
  const noise = randomBf16(8 << 20);
  let turn = 0;
  for (const [name, shape] of tensors) {
    let left = 2 * shape.reduce((n, d) => n * d, 1);
    if (/norm/.test(name)) {
      const ones = Buffer.alloc(left);
      for (let i = 0; i < left; i += 2) ones.writeUInt16LE(0x3f80, i);
      writeSync(file, ones);
      continue;
    }
    // Each tensor starts elsewhere in the noise: no two are alike.
    let at = (turn++ * 104_729 * 2) % noise.length;
    while (left > 0) {
      const part = noise.subarray(at, Math.min(noise.length, at + left));
      writeSync(file, part);
      left -= part.length;
      at = 0;
    }
  }
  closeSync(file);

  writeFileSync(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  const model = {
    format: 'rtc-model',
    version: 1,
    name: 'tinyllama-recursive',
    config: 'config.json',
    weights: ['model.safetensors'],
    recursion: { prelude: 0, block: config.num_hidden_layers, loops, coda: 0 },
    ...(rank > 0 ? { lora: { targets, alpha: rank } } : {}),
    exits: { after: [1] },
  };
  writeFileSync(join(folder, 'model.json'), `${JSON.stringify(model, null, 2)}\n`);
  return { bytes: 8 + json.length + offset, parameters: offset / 2 };
}

function shapes(rank) {
  const { hidden_size: h, intermediate_size: f, vocab_size: v } = config;
  const kv = (h / config.num_attention_heads) * config.num_key_value_heads;
  const modules = {
    'self_attn.q_proj': [h, h],
    'self_attn.k_proj': [kv, h],
    'self_attn.v_proj': [kv, h],
    'self_attn.o_proj': [h, h],
    'mlp.gate_proj': [f, h],
    'mlp.up_proj': [f, h],
    'mlp.down_proj': [h, f],
  };
  const list = [
    ['model.embed_tokens.weight', [v, h]],
    ['lm_head.weight', [v, h]],
    ['model.norm.weight', [h]],
  ];
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const prefix = `model.layers.${i}`;
    list.push([`${prefix}.input_layernorm.weight`, [h]], [`${prefix}.post_attention_layernorm.weight`, [h]]);
    for (const [module, [out, input]] of Object.entries(modules)) {
      list.push([`${prefix}.${module}.weight`, [out, input]]);
      for (let d = 0; rank > 0 && d < loops; d++) {
        list.push([`${prefix}.${module}.lora_A.depth_${d}.weight`, [rank, input]]);
        list.push([`${prefix}.${module}.lora_B.depth_${d}.weight`, [out, rank]]);
      }
    }
  }
  return list;
}

/** Small numbers of both signs, from a xorshift generator with a fixed seed. */
function randomBf16(bytes) {
  const buffer = Buffer.alloc(bytes);
  const floats = new Float32Array(1);
  const words = new Uint32Array(floats.buffer);
  let x = 0x9e3779b9;
  for (let i = 0; i < bytes; i += 2) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    floats[0] = (x / 2 ** 31) * 0.035;
    buffer.writeUInt16LE(words[0] >>> 16, i);
  }
  return buffer;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [folder, flag, rank] = process.argv.slice(2);
  if (!folder || (flag !== undefined && (flag !== '--lora' || !(Number(rank) > 0)))) {
    console.error('usage: node bench/make-tinyllama.js DIR [--lora RANK]');
    process.exit(2);
  }
  const { bytes, parameters } = makeTinyLlama(folder, Number(rank ?? 0));
  console.log(`${folder}: ${(parameters / 1e6).toFixed(0)} million parameters stored, ${(bytes / 1e9).toFixed(2)} GB`);
}
