// Where a step's time goes, operator by operator: runs step.onnx of a package on made rows with ONNX Runtime's profiler,
// and prints the median of every node, summed by operator and by part of the graph, with the time of the whole run.
//
//   npm run build && node bench/profile-step.js PACKAGE [--rows 8] [--past 128] [--heads N] [--tokens 1] [--runs 20] [--nodes 12]
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '8' },
    past: { type: 'string', default: '128' },
    heads: { type: 'string' },
    tokens: { type: 'string', default: '1' },
    runs: { type: 'string', default: '20' },
    nodes: { type: 'string', default: '12' },
    threads: { type: 'string', default: '2' },
  },
});
const [folder] = positionals;
if (!folder) {
  console.error('usage: node bench/profile-step.js PACKAGE [--rows 8] [--past 128] [--heads N] [--tokens 1]');
  process.exit(2);
}
const [rows, past, tokens, runs] = ['rows', 'past', 'tokens', 'runs'].map((name) => Number(values[name]));
const heads = Number(values.heads ?? rows);
const manifest = JSON.parse(readFileSync(join(folder, 'rtc.json'), 'utf8'));
const { pageSize, groups = 1 } = manifest.cache;
const { loops } = manifest.recursion;
const width = Math.ceil(past / pageSize);

const prefix = join(tmpdir(), `rtc-profile-${process.pid}`);
const session = await ort.InferenceSession.create(join(folder, 'step.onnx'), {
  executionProviders: ['cpu'],
  intraOpNumThreads: Number(values.threads),
  enableProfiling: true,
  profileFilePrefix: prefix,
  logSeverityLevel: 3,
});

const pageCount = rows * width + 1;
const sizes = { rows, tokens, heads, page_count: pageCount, boundary_page_count: pageCount };
const perGroup = Array.from({ length: groups }, (_, g) => Math.floor((rows + g) / groups));
const feeds = Object.fromEntries(
  session.inputMetadata.map(({ name, type, shape }) => {
    const [kind, group = '0'] = name.split('.');
    if (kind === 'page_table' || kind === 'boundary_page_table') {
      const here = kind === 'page_table' ? perGroup[Number(group)] : rows;
      return [name, integers([here, width], (i) => 1 + i)];
    }
    const made = {
      input_ids: () => integers([rows, tokens], (i) => (i * 77) % 100),
      depth: () => integers([rows], (i) => i % loops),
      position_ids: () => integers([rows, tokens], (i) => past + (i % tokens)),
      past_length: () => integers([rows], () => past),
      head_rows: () => integers([heads], (i) => (i % rows) * tokens + tokens - 1),
      entering_rows: () => integers([rows], (i) => i),
      leaving_rows: () => integers([rows], (i) => i),
    }[kind];
    if (made) return [name, made()];
    const dims = shape.map((dim) => (typeof dim === 'number' ? dim : sizes[dim]));
    const count = dims.reduce((product, dim) => product * dim, 1);
    const data =
      type === 'float16' ? new Uint16Array(count) : Float32Array.from({ length: count }, (_, i) => (i % 7) / 7);
    return [name, new ort.Tensor(type, data, dims)];
  }),
);

const wanted = session.outputNames.filter((name) => name !== 'logits');
const times = [];
for (let i = 0; i < runs; i++) {
  const started = performance.now();
  await session.run(feeds, wanted);
  times.push(performance.now() - started);
}
session.endProfiling();
await session.release();

const file = readdirSync(tmpdir()).find((name) => join(tmpdir(), name).startsWith(prefix));
const events = JSON.parse(readFileSync(join(tmpdir(), file), 'utf8'));
rmSync(join(tmpdir(), file));
const nodes = new Map();
for (const { cat, name, dur, args } of events) {
  if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
  const node = nodes.get(name) ?? { name: name.replace('_kernel_time', ''), operator: args.op_name, times: [] };
  node.times.push(dur / 1000);
  nodes.set(name, node);
}
const measured = [...nodes.values()].map(({ name, operator, times: all }) => ({
  name,
  operator,
  ms: median(all.slice(2)),
}));
const sum = measured.reduce((total, { ms }) => total + ms, 0);

console.log(`${folder}: ${rows} rows of ${tokens} behind ${past}, ${heads} heads, ${runs} runs`);
console.log(
  `a run ${median(times.slice(2)).toFixed(2)} ms (median), its ${measured.length} nodes ${sum.toFixed(2)} ms\n`,
);
print(
  'operator',
  group(measured, ({ operator }) => operator),
);
console.log();
print(
  'part',
  group(measured, ({ name }) => partOf(name)),
);
console.log();
print(
  'node',
  measured
    .map(({ name, ms }) => ({ key: name, ms, count: 1 }))
    .sort((a, b) => b.ms - a.ms)
    .slice(0, Number(values.nodes)),
);

function integers(dims, make) {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return new ort.Tensor(
    'int64',
    BigInt64Array.from({ length: count }, (_, i) => BigInt(make(i))),
    dims,
  );
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** /depth.0/layer.3/self_attn/q_proj/Gemm → self_attn/q_proj */
function partOf(name) {
  return (
    name
      .split('/')
      .filter((part) => part !== '' && !/^(layer|depth|loop|block)\.?\d*$/.test(part))
      .slice(0, -1)
      .join('/') || name
  );
}

function group(list, keyOf) {
  const found = new Map();
  for (const node of list) {
    const entry = found.get(keyOf(node)) ?? { key: keyOf(node), ms: 0, count: 0 };
    entry.ms += node.ms;
    entry.count += 1;
    found.set(entry.key, entry);
  }
  return [...found.values()].sort((a, b) => b.ms - a.ms);
}

function print(title, entries) {
  const width = Math.max(title.length, ...entries.map(({ key }) => key.length));
  console.log(`${title.padEnd(width)}      ms  share  nodes`);
  for (const { key, ms, count } of entries) {
    const share = `${((100 * ms) / sum).toFixed(1)} %`;
    console.log(`${key.padEnd(width)}  ${ms.toFixed(3).padStart(6)} ${share.padStart(6)} ${String(count).padStart(6)}`);
  }
}
