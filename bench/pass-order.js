// What the order of passes and heads costs, on a step graph, without a scheduler: passes of M rows, after each of which
// M/E rows want a head (E: mean loops a token), with the heads computed
//   in every pass,
//   in every k-th pass, for the rows of k passes together (they waited in between),
//   never,
// and how long a pass takes that comes right behind a pass, and right behind a head: if the block fits the processor's
// cache, a head drives it out. Waiting rows are played by asking for the same rows' heads several times, which costs
// what heads of other rows would.
//
//   npm run build && node bench/pass-order.js PACKAGE [--rows 8,16] [--mean-loops 1.2] [--past 128] [--rounds 30]
import { parseArgs } from 'node:util';
import { readPackage } from '../dist/files/package.js';
import { openStepModel } from '../dist/runtime/depth-batched/open-step-model.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '8,16' },
    'mean-loops': { type: 'string', default: '1.2' },
    past: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '30' },
    threads: { type: 'string', default: '2' },
  },
});
const [folder] = positionals;
if (!folder) {
  console.error('usage: node bench/pass-order.js PACKAGE [--rows 8,16] [--mean-loops 1.2] [--past 128] [--rounds 30]');
  process.exit(2);
}
const [past, rounds] = [Number(values.past), Number(values.rounds)];
const meanLoops = Number(values['mean-loops']);
const most = Math.max(...values.rows.split(',').map(Number));

const read = await readPackage(folder, { check: 'sizes' });
if (!read.ok) throw new Error(JSON.stringify(read.diagnostics));
const { manifest } = read.value;
const width = Math.ceil(past / manifest.cache.pageSize);
const opened = await openStepModel(read.value, { pages: most * width, threads: Number(values.threads) });
if (!opened.ok) throw new Error(JSON.stringify(opened.diagnostics));
const model = opened.value;
const { shape } = model;
console.log(`${manifest.name}: block of ${shape.block} × ${shape.loops} loops, ${past} positions behind every row`);

/** A pass of `rows` rows, and so many heads of them, some several times. */
function pass(rows, heads) {
  return Array.from({ length: rows }, (_, row) => {
    const own = Math.floor(heads / rows) + (row < heads % rows ? 1 : 0);
    return {
      depth: row % shape.loops,
      position: past,
      tokens: [row],
      pages: Array.from({ length: width }, (_, i) => 1 + row * width + i),
      boundaryPages: [],
      hidden: row % shape.loops === 0 ? undefined : new Float32Array(shape.hiddenSize),
      leaving: own > 0,
      heads: Array(own).fill(0),
    };
  });
}

const time = async (rows, heads) => (await model.run(pass(rows, heads), { logits: false })).milliseconds;

for (const rows of values.rows.split(',').map(Number)) {
  const leaving = rows / meanLoops;
  const every = [1, 2, 3, 4];
  const times = { ...Object.fromEntries(every.map((k) => [k, []])), none: [], afterPass: [], afterHead: [] };
  await time(rows, rows);
  for (let round = 0; round < rounds; round++) {
    for (const k of round % 2 === 0 ? every : every.toReversed()) {
      // Twelve passes, whatever k is.
      let sum = 0;
      let owed = 0;
      for (let i = 1; i <= 12; i++) {
        owed += leaving;
        const heads = i % k === 0 ? Math.round(owed) : 0;
        if (heads > 0) owed -= heads;
        sum += await time(rows, heads);
      }
      times[k].push(sum / 12);
    }
    for (let i = 0; i < 6; i++) times.none.push(await time(rows, 0));
    await time(rows, 0);
    times.afterPass.push(await time(rows, 0));
    await time(rows, rows);
    times.afterHead.push(await time(rows, 0));
  }
  const base = median(times[1]);
  console.log(
    `\n${rows} rows, ${leaving.toFixed(1)} heads a pass, ${rounds} rounds; medians (quartiles) of a pass, ms`,
  );
  for (const k of every) {
    const waits = (k - 1) / 2;
    const more = waits === 0 ? '' : `; a token takes ${(meanLoops + waits).toFixed(2)} passes instead of ${meanLoops}`;
    console.log(
      `  heads every ${k} passes  ${spread(times[k])}  ${(base / median(times[k])).toFixed(3)} × tokens/s${more}`,
    );
  }
  console.log(`  no heads               ${spread(times.none)}  ${(base / median(times.none)).toFixed(3)} ×`);
  console.log(`  behind a pass          ${spread(times.afterPass)}`);
  console.log(`  behind a head          ${spread(times.afterHead)}`);
}
await model.close();

function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.round(share * (sorted.length - 1))];
}

function median(numbers) {
  return quantile(numbers, 0.5);
}

function spread(numbers) {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(numbers, share).toFixed(2));
  return `${middle} (${low} … ${high})`;
}
