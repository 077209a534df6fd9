// Makes a recursive model with random weights: files that behave like a checkpoint. Deterministic; takes seconds.
// Default is a stack of 24 layers that runs twice, 1024 wide: 300 million parameters stored, vocabulary 32,000.
//
//   node bench/make-random-model.js DIR [--loops 2] [--block 24] [--hidden 1024] [--intermediate 2816] [--heads 16]
//     [--kv-heads 4] [--vocabulary 32000] [--lora RANK] [--untied] [--f32] [--name NAME]
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/**
 * What the numbers of `rtc bench` in the README are measured on. A pass of the block has to be long beside a head, or
 * heads alone forbid the gain: with h = head / pass, two loops that end after 1.2 on average gain (2 + h) / (1.2 (1 + h))
 * at most, 1.67 for h = 0 and 1.5 for h = 0.25. By parameters h is 0.12 here, 0.08 in Ouro 1.4B, 0.13 in TinyLlama
 * folded to 11 layers.
 */
export const benchShape = {
  name: 'random-recursive',
  hidden: 1024,
  intermediate: 2816,
  heads: 16,
  kvHeads: 4,
  block: 24,
  loops: 2,
  vocabulary: 32000,
  positions: 2048,
  tied: true,
  lora: 0,
  dtype: 'bf16',
};

/** @returns bytes of the weights' file, and parameters that are stored */
export function makeRandomModel(folder, shape) {
  mkdirSync(folder, { recursive: true });
  const tensors = shapesOf(shape);
  const width = shape.dtype === 'f32' ? 4 : 2;
  const header = {};
  let offset = 0;
  for (const [name, dims] of tensors) {
    const bytes = width * count(dims);
    header[name] = { dtype: shape.dtype.toUpperCase(), shape: dims, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  let json = JSON.stringify(header);
  json += ' '.repeat((8 - (json.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));

  const file = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(file, length);
  writeSync(file, json);
  const noise = randomNumbers(8 << 20, width);
  let turn = 0;
  for (const [name, dims] of tensors) {
    let left = width * count(dims);
    if (/norm/.test(name)) {
      writeSync(file, ones(count(dims), width));
      continue;
    }
    // Each tensor starts elsewhere in the noise: no two are alike.
    let at = (turn++ * 104_729 * width) % noise.length;
    while (left > 0) {
      const part = noise.subarray(at, Math.min(noise.length, at + left));
      writeSync(file, part);
      left -= part.length;
      at = 0;
    }
  }
  closeSync(file);

  writeFileSync(join(folder, 'config.json'), `${JSON.stringify(configOf(shape), null, 2)}\n`);
  const targets = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((m) => `self_attn.${m}`);
  targets.push('mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj');
  const model = {
    format: 'rtc-model',
    version: 1,
    name: shape.name,
    config: 'config.json',
    weights: ['model.safetensors'],
    recursion: { prelude: 0, block: shape.block, loops: shape.loops, coda: 0 },
    ...(shape.lora > 0 ? { lora: { targets, alpha: shape.lora } } : {}),
    exits: { after: Array.from({ length: shape.loops - 1 }, (_, i) => i + 1) },
  };
  writeFileSync(join(folder, 'model.json'), `${JSON.stringify(model, null, 2)}\n`);
  return { bytes: 8 + json.length + offset, parameters: offset / width };
}

function configOf({ hidden, intermediate, heads, kvHeads, block, vocabulary, positions, tied, dtype }) {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    torch_dtype: dtype === 'f32' ? 'float32' : 'bfloat16',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    num_hidden_layers: block,
    vocab_size: vocabulary,
    max_position_embeddings: positions,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: 'silu',
    tie_word_embeddings: tied,
    bos_token_id: 1,
    eos_token_id: 2,
  };
}

function shapesOf({ hidden: h, intermediate: f, heads, kvHeads, block, loops, vocabulary: v, tied, lora }) {
  const kv = (h / heads) * kvHeads;
  const modules = {
    'self_attn.q_proj': [h, h],
    'self_attn.k_proj': [kv, h],
    'self_attn.v_proj': [kv, h],
    'self_attn.o_proj': [h, h],
    'mlp.gate_proj': [f, h],
    'mlp.up_proj': [f, h],
    'mlp.down_proj': [h, f],
  };
  const list = [['model.embed_tokens.weight', [v, h]]];
  if (!tied) list.push(['lm_head.weight', [v, h]]);
  list.push(['model.norm.weight', [h]]);
  for (let i = 0; i < block; i++) {
    const prefix = `model.layers.${i}`;
    list.push([`${prefix}.input_layernorm.weight`, [h]], [`${prefix}.post_attention_layernorm.weight`, [h]]);
    for (const [module, [out, input]] of Object.entries(modules)) {
      list.push([`${prefix}.${module}.weight`, [out, input]]);
      for (let d = 0; lora > 0 && d < loops; d++) {
        list.push([`${prefix}.${module}.lora_A.depth_${d}.weight`, [lora, input]]);
        list.push([`${prefix}.${module}.lora_B.depth_${d}.weight`, [out, lora]]);
      }
    }
  }
  return list;
}

function count(dims) {
  return dims.reduce((product, dim) => product * dim, 1);
}

function ones(length, width) {
  if (width === 4) return Buffer.from(new Float32Array(length).fill(1).buffer);
  return Buffer.from(new Uint16Array(length).fill(0x3f80).buffer);
}

/** Small numbers of both signs, from a xorshift generator with a fixed seed. */
function randomNumbers(bytes, width) {
  const floats = new Float32Array(bytes / width);
  let x = 0x9e3779b9;
  for (let i = 0; i < floats.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    floats[i] = (x / 2 ** 31) * 0.035;
  }
  if (width === 4) return Buffer.from(floats.buffer);
  const words = new Uint32Array(floats.buffer);
  return Buffer.from(Uint16Array.from(words, (word) => word >>> 16).buffer);
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const number = (value) => ({ type: 'string', default: String(value) });
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      loops: number(benchShape.loops),
      block: number(benchShape.block),
      hidden: number(benchShape.hidden),
      intermediate: number(benchShape.intermediate),
      heads: number(benchShape.heads),
      'kv-heads': number(benchShape.kvHeads),
      vocabulary: number(benchShape.vocabulary),
      lora: number(benchShape.lora),
      name: number(benchShape.name),
      untied: { type: 'boolean', default: false },
      f32: { type: 'boolean', default: false },
    },
  });
  const [folder] = positionals;
  if (!folder) {
    console.error('usage: node bench/make-random-model.js DIR [--loops N] [--block N] [--hidden N] … (see the file)');
    process.exit(2);
  }
  const { bytes, parameters } = makeRandomModel(folder, {
    ...benchShape,
    name: values.name,
    hidden: Number(values.hidden),
    intermediate: Number(values.intermediate),
    heads: Number(values.heads),
    kvHeads: Number(values['kv-heads']),
    block: Number(values.block),
    loops: Number(values.loops),
    vocabulary: Number(values.vocabulary),
    tied: !values.untied,
    lora: Number(values.lora),
    dtype: values.f32 ? 'f32' : 'bf16',
  });
  console.log(`${folder}: ${(parameters / 1e6).toFixed(0)} million parameters stored, ${(bytes / 1e9).toFixed(2)} GB`);
}
