// What the dialects cost in ONNX Runtime: decoding and reading a prompt on a small recursive model (hidden 512, 8 query
// heads on 4 KV heads, 4 layers run 3 times, vocabulary 8192, random f32 weights), one thread. The variants say why the
// ort dialect has the operators that it has, and not GroupQueryAttention.
//
// Every measurement has a process of its own, and the variants take turns: in one process the same graph came out up to
// 10 % slower or faster by its place in the row. Times are of the CPU, so that other processes' turns do not count;
// their use of caches and memory still does.
//
//   npm run build && node bench/dialects.js [--rounds N]
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-node';
import { buildGraph } from '../dist/compiler/architectures/build-graph.js';
import { readModel } from '../dist/compiler/read/read-model.js';
import { writeSafetensors } from '../dist/files/write-safetensors.js';
import { unrolledPipeline } from '../dist/passes/pipelines.js';
import { runPasses } from '../dist/passes/run-passes.js';
import { dialects } from '../dist/targets/onnx/dialects.js';
import { lowerToModel } from '../dist/targets/onnx/lower.js';
import { encodeModel } from '../dist/targets/onnx/proto.js';
import { withGroupQueryAttention } from './with-group-query-attention.js';

const shape = { hidden: 512, intermediate: 1408, heads: 8, kvHeads: 4, headDim: 64, layers: 4, loops: 3, vocab: 8192 };
const settings = [
  { title: 'one new token, context 128', batch: 1, past: 128, sequence: 1, runs: 40 },
  { title: '16 sequences, one new token each, context 128', batch: 16, past: 128, sequence: 1, runs: 8 },
  { title: 'a prompt of 64 tokens', batch: 1, past: 0, sequence: 64, runs: 5 },
];

if (process.argv[2] === '--measure') console.log(JSON.stringify(await measure(process.argv[3])));
else await compare(roundsAsked(process.argv.slice(2)));

/** Measures all variants in turn and prints what came out. */
async function compare(rounds) {
  const folder = mkdtempSync(join(tmpdir(), 'rtc-bench-'));
  try {
    await makeModel(folder);
    const variants = await makeVariants(folder);
    console.log(`ONNX Runtime ${ort.env.versions.node}, Node ${process.version}, ${cpus()[0]?.model}, one thread`);
    console.log(`${rounds} processes a variant, in turn; CPU time of a run: median (10th to 90th percentile)`);
    for (let round = 0; round < rounds; round++) {
      // Another one first each time.
      for (let i = 0; i < variants.length; i++) {
        const { path, results } = variants[(i + round) % variants.length];
        const args = [fileURLToPath(import.meta.url), '--measure', path];
        results.push(JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })));
      }
    }
    settings.forEach(({ title }, at) => {
      console.log(`\n${title}`);
      for (const { name, results } of variants) {
        const [base, own] = [variants[0].results, results].map((list) => spread(list.map(({ times }) => times[at])));
        const logits = results[0].logits[at];
        const reference = variants[0].results[0].logits[at];
        const difference = largest(logits.map((x, i) => x - reference[i])) / largest(reference);
        console.log(
          `  ${name.padEnd(46)} ${own.median.toFixed(2).padStart(6)} ms (${own.low.toFixed(2)} to ${own.high.toFixed(2)})` +
            `  ${(own.median / base.median).toFixed(3)} of portable  logits differ by ${difference.toExponential(0)}`,
        );
      }
    });
    console.log('\nloading');
    for (const { name, nodes, results } of variants) {
      const { median, low, high } = spread(results.map(({ load }) => load));
      console.log(
        `  ${name.padEnd(46)} ${median.toFixed(0).padStart(6)} ms (${low.toFixed(0)} to ${high.toFixed(0)})  ${nodes} nodes`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** One model in this process: median CPU time of a run in each setting, and some logits to compare. */
async function measure(path) {
  const started = process.cpuUsage();
  const session = await ort.InferenceSession.create(path, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const result = { load: milliseconds(started), times: [], logits: [] };
  for (const { batch, past, sequence, runs } of settings) {
    const feeds = makeFeeds(session, { batch, past, sequence });
    const { logits } = await session.run(feeds, ['logits']);
    result.logits.push(Array.from(logits.data.slice(-shape.vocab)));
    for (let i = 0; i < 2; i++) await session.run(feeds);
    const times = [];
    for (let i = 0; i < runs; i++) {
      const before = process.cpuUsage();
      await session.run(feeds);
      times.push(milliseconds(before));
    }
    result.times.push(spread(times).median);
  }
  return result;
}

function milliseconds(before) {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function spread(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return { median: at(0.5), low: at(0.1), high: at(0.9) };
}

/** Models to compare, each in a folder of its own with the weights beside it. */
async function makeVariants(modelFolder) {
  const read = await readModel(modelFolder);
  if (!read.ok) throw new Error(JSON.stringify(read.diagnostics));
  const lower = (dialect, without = []) => {
    const keeps = new Set([...dialects[dialect].keeps].filter((kind) => !without.includes(kind)));
    const options = { precision: 'f32', lora: 'keep', keeps, exits: [], exitLogits: false };
    const result = runPasses(buildGraph(read.value), (graph, run) => unrolledPipeline(graph, options, run));
    if (result.outcome !== 'done') throw new Error('a pass broke');
    return lowerToModel(result.graph, { dialect, version: 'bench', metadata: {} }).model;
  };
  const models = {
    portable: lower('portable'),
    ort: lower('ort'),
    'ort without RotaryEmbedding': lower('ort', ['rotary_lookup']),
    'ort without SkipSimplifiedLayerNormalization': lower('ort', ['add_rms_norm']),
    'ort with GroupQueryAttention': withGroupQueryAttention(lower('ort'), shape),
  };
  return Object.entries(models).map(([name, model]) => {
    const place = join(modelFolder, name.replaceAll(' ', '-'));
    mkdirSync(place);
    linkSync(join(modelFolder, 'model.safetensors'), join(place, 'model.safetensors'));
    const path = join(place, 'model.onnx');
    writeFileSync(path, encodeModel(model));
    return { name, path, nodes: model.graph.nodes.length, results: [] };
  });
}

function makeFeeds(session, { batch, past, sequence }) {
  const sizes = { batch, past, sequence, 'past+sequence': past + sequence };
  const random = noise(7);
  const feeds = {};
  for (const { name, type, shape: axes } of session.inputMetadata) {
    const dims = axes.map((axis) => (typeof axis === 'number' ? axis : sizes[axis]));
    const count = dims.reduce((n, d) => n * d, 1);
    const fill = {
      input_ids: (i) => BigInt((i * 37) % shape.vocab),
      attention_mask: () => 1n,
      position_ids: (i) => BigInt(past + (i % sequence)),
    }[name];
    const data = fill
      ? BigInt64Array.from({ length: count }, (_, i) => fill(i))
      : Float32Array.from({ length: count }, random);
    feeds[name] = new ort.Tensor(type, data, dims);
  }
  return feeds;
}

async function makeModel(place) {
  const { hidden: h, intermediate: f, vocab: v } = shape;
  const kv = shape.kvHeads * shape.headDim;
  const tensors = [
    { name: 'model.embed_tokens.weight', shape: [v, h] },
    { name: 'lm_head.weight', shape: [v, h] },
    { name: 'model.norm.weight', shape: [h] },
  ];
  for (let i = 0; i < shape.layers; i++) {
    const layer = (name, dims) => tensors.push({ name: `model.layers.${i}.${name}.weight`, shape: dims });
    layer('input_layernorm', [h]);
    layer('post_attention_layernorm', [h]);
    layer('self_attn.q_proj', [h, h]);
    layer('self_attn.k_proj', [kv, h]);
    layer('self_attn.v_proj', [kv, h]);
    layer('self_attn.o_proj', [h, h]);
    layer('mlp.gate_proj', [f, h]);
    layer('mlp.up_proj', [f, h]);
    layer('mlp.down_proj', [h, f]);
  }
  const random = noise(1);
  const written = await writeSafetensors(
    { absolutePath: join(place, 'model.safetensors'), path: 'model.safetensors', shown: 'model.safetensors' },
    tensors.map((tensor) => ({ ...tensor, dtype: 'f32' })),
    ({ shape: dims, length }) => {
      const draw = dims.length === 1 ? () => 1 : () => (1.7 * random()) / Math.sqrt(dims[1]);
      return [new Uint8Array(Float32Array.from({ length: length / 4 }, draw).buffer)];
    },
  );
  if (!written.ok) throw new Error(JSON.stringify(written.diagnostics));
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    torch_dtype: 'float32',
    hidden_size: h,
    intermediate_size: f,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    num_hidden_layers: shape.layers,
    vocab_size: v,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: 'silu',
    tie_word_embeddings: false,
  };
  const model = {
    format: 'rtc-model',
    version: 1,
    name: 'bench',
    config: 'config.json',
    weights: ['model.safetensors'],
    recursion: { prelude: 0, block: shape.layers, loops: shape.loops, coda: 0 },
  };
  writeFileSync(join(place, 'config.json'), JSON.stringify(config));
  writeFileSync(join(place, 'model.json'), JSON.stringify(model));
}

/** Numbers between -1 and 1 from a xorshift generator. */
function noise(seed) {
  let x = seed * 0x9e3779b9;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x / 2 ** 31;
  };
}

function largest(values) {
  return values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}

function roundsAsked(args) {
  if (args.length === 0) return 15;
  if (args.length === 2 && args[0] === '--rounds' && Number.isInteger(Number(args[1])) && Number(args[1]) > 0) {
    return Number(args[1]);
  }
  console.error('usage: node bench/dialects.js [--rounds N]');
  process.exit(2);
}
