// Many short requests of every kind against engines with too few pages, one engine for each KV policy; prints what came of
// them as JSON. More than the tests do:
//   node --expose-gc --import ./test/runtime/engine/soak-heap.js test/runtime/engine/soak.js PACKAGE 1000000
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BroadcastChannel } from 'node:worker_threads';
import { openEngine, planEngine } from '../../../dist/runtime/index.js';
import { uniform } from '../../../dist/runtime/random.js';

const [folder, total = '20000', seed = '1'] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(join(folder, 'rtc.json'), 'utf8'));
const policies = ['last-exited', 'propagate', 'complete', 'shared'];
const share = Math.ceil(Number(total) / policies.length);
const atOnce = 64;
/** Requests that are the same whenever they come: their tokens must be, too. */
const kinds = 150;

const channel = new BroadcastChannel('soak-heap');
const runs = [];
for (const kvPolicy of policies) runs.push(await soak(kvPolicy));
channel.close();
console.log(JSON.stringify(runs));

async function soak(kvPolicy) {
  const random = randomNumbers(Number(seed) + policies.indexOf(kvPolicy) * 1e9);
  // Pages for two sequences of full length, when twelve may run.
  const options = { kvPolicy, threads: 1, maxRows: 12, prefillChunk: 16 };
  const two = planEngine(manifest, { ...options, maxSequences: 2 });
  const opened = await openEngine(folder, { ...options, maxSequences: 12, pageBytes: two.value.pageBytes });
  if (!opened.ok) throw new Error(JSON.stringify(opened.diagnostics));
  const engine = opened.value;
  const counts = { length: 0, stop: 0, cancelled: 0, refused: 0 };
  const seen = new Map();
  const problems = [];
  const heaps = [];
  const started = performance.now();
  let begun = 0;
  for (let quarter = 1; quarter <= 4; quarter++) {
    const client = async () => {
      while (begun < (share * quarter) / 4) await one(engine, random, counts, seen, problems, begun++);
    };
    await Promise.all(Array.from({ length: atOnce }, client));
    heaps.push(await heap());
  }
  const state = await engine.state();
  await engine.close();
  return {
    kvPolicy,
    requests: share,
    counts,
    state,
    problems: problems.slice(0, 5),
    kinds: seen.size,
    heaps,
    rss: process.memoryUsage().rss,
    seconds: (performance.now() - started) / 1000,
  };
}

/** One request from its beginning to its end, in one of the ways in which clients behave. */
async function one(engine, random, counts, seen, problems, number) {
  if (random() < 0.02) {
    if (engine.submit({ prompt: [], maxNewTokens: 1 }).ok) problems.push(`${number} was taken`);
    counts.refused++;
    return;
  }
  const kind = Math.floor(random() * kinds);
  const { request, repeats } = requestOf(kind);
  const abort = new AbortController();
  const submitted = engine.submit(request, { signal: abort.signal });
  if (!submitted.ok) {
    problems.push(`${number} was refused: ${submitted.diagnostics[0].message}`);
    return;
  }
  const running = submitted.value;
  let ends = 0;
  running.done.then(() => ends++);
  const manner = random();
  const after = Math.floor(random() * request.maxNewTokens);
  const tokens = [];
  if (manner < 0.05) running.cancel();
  else if (manner < 0.1) setTimeout(() => abort.abort(), random() * 20);
  for await (const { token } of running) {
    tokens.push(token);
    if (tokens.length !== after) continue;
    if (manner > 0.95) break;
    if (manner > 0.9) running.cancel();
    else if (manner > 0.85) abort.abort();
  }
  const done = await running.done;
  counts[done.finished]++;
  if (ends !== 1) problems.push(`${number} ended ${ends} times`);
  const broken = manner > 0.95 && tokens.length === after;
  const all = done.tokens.slice(0, broken ? after : undefined);
  if (all.join() !== tokens.join()) problems.push(`${number}: ${tokens} came, ${done.tokens} is the whole`);
  if (done.finished === 'length' && done.tokens.length !== request.maxNewTokens)
    problems.push(`${number} is too short`);
  if (done.finished === 'stop' && done.tokens.at(-1) !== 2) problems.push(`${number} stopped behind ${done.tokens}`);
  if (done.finished === 'cancelled' && manner >= 0.1 && manner <= 0.85) problems.push(`${number} was cancelled`);
  if (!repeats) return;
  const before = seen.get(kind) ?? [];
  const common = Math.min(before.length, done.tokens.length);
  if (before.slice(0, common).join() !== done.tokens.slice(0, common).join()) {
    problems.push(`kind ${kind} gave ${done.tokens} behind ${before}`);
  }
  if (done.tokens.length > before.length) seen.set(kind, done.tokens);
}

/** A request by its number, always the same. What a budget gives depends on what else runs. */
function requestOf(kind) {
  const random = randomNumbers(kind);
  const prompt = Array.from({ length: 1 + Math.floor(random() ** 4 * 30) }, () => 3 + Math.floor(random() * 29));
  const exits = Array.from({ length: 20 }, () => 1 + Math.floor(random() * 2));
  const rules = [
    undefined,
    { kind: 'threshold', threshold: random() * 0.4 },
    { kind: 'threshold', threshold: 1 },
    { kind: 'fixed', loop: 1 },
    { kind: 'trace', exits },
    { kind: 'budget', meanLoops: 1.5 },
  ];
  const exit = rules[Math.floor(random() * rules.length)];
  const sampling = random() < 0.3 ? { kind: 'sample', temperature: 0.8, topK: 8, seed: kind } : { kind: 'greedy' };
  // Few are long, but long enough to need pages that nobody counted on.
  const maxNewTokens = random() < 0.06 ? 96 - prompt.length : 1 + Math.floor(random() * 6);
  const request = { prompt, maxNewTokens, sampling, ignoreEos: random() < 0.5 };
  return { request: exit === undefined ? request : { ...request, exit }, repeats: exit?.kind !== 'budget' };
}

/** Bytes that the engine's thread and this one hold on to. */
async function heap() {
  globalThis.gc();
  const answer = new Promise((resolve) => {
    channel.onmessage = ({ data }) => resolve(data);
  });
  channel.postMessage('how much?');
  const { heapUsed, external } = await answer;
  return { here: process.memoryUsage().heapUsed, there: heapUsed, external };
}

function randomNumbers(stream) {
  let draw = 0;
  return () => uniform(stream, draw++);
}
