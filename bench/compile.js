// What compiling costs: time, peak memory and bytes read for a recursive model of TinyLlama's shape, and how big the
// package is beside its checkpoint. Each run is a process of its own, from `rtc` to the finished package.
//
//   npm run build && node bench/compile.js [--runs N] [--model DIR] [--lora RANK]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { makeTinyLlama } from './make-tinyllama.js';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    model: { type: 'string' },
    lora: { type: 'string', default: '0' },
  },
});
const runs = Number(values.runs);
const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'rtc-bench-'));
const model = values.model ?? join(scratch, 'tinyllama-recursive');
if (!existsSync(join(model, 'model.json'))) makeTinyLlama(model, Number(values.lora));
const checkpoint = statSync(join(model, 'model.safetensors')).size;

const variants = [
  ['depth-batched', '--form', 'depth-batched'],
  ['unrolled', '--form', 'unrolled'],
  ['unrolled, ort dialect', '--form', 'unrolled', '--dialect', 'ort'],
  ['loop', '--form', 'loop'],
  ['unrolled, bf16', '--form', 'unrolled', '--precision', 'bf16'],
  ['unrolled, f32 weights written', '--form', 'unrolled', '--write-weights'],
];

console.log(`rtc compile, block 11 × 2 loops of TinyLlama's shape, bf16, checkpoint ${megabytes(checkpoint)} MB`);
console.log(
  `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}; ${runs} runs each, in turn\n`,
);

const measured = variants.map(() => []);
const sizes = variants.map(() => 0);
try {
  for (let run = 0; run < runs; run++) {
    variants.forEach(([, ...flags], i) => {
      const out = join(scratch, `package-${i}`);
      const file = join(scratch, 'measured.json');
      const result = spawnSync(process.execPath, ['bin/rtc.js', 'compile', model, ...flags, '--out', out, '--quiet'], {
        cwd: root,
        encoding: 'utf8',
        env: { ...process.env, RTC_MEASURE: file, NODE_OPTIONS: '--import=./bench/measure-self.js' },
      });
      if (result.status !== 0) throw new Error(`rtc ended with ${result.status}: ${result.stderr}`);
      measured[i].push(JSON.parse(readFileSync(file, 'utf8')));
      sizes[i] = folderBytes(out);
      rmSync(out, { recursive: true });
    });
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

const rows = variants.map(([name], i) => [
  name,
  spread(
    measured[i].map((m) => m.seconds),
    2,
  ),
  spread(
    measured[i].map((m) => m.peakBytes / 1e6),
    0,
  ),
  measured[i][0].readBytes === undefined
    ? 'not told here'
    : spread(
        measured[i].map((m) => m.readBytes / 1e6),
        1,
      ),
  `${megabytes(sizes[i])} (${((100 * sizes[i]) / checkpoint).toFixed(2)} %)`,
]);
table(['form', 'seconds', 'peak MB', 'read MB (Node itself included)', 'package MB (of the checkpoint)'], rows);

/** Median and, in brackets, the smallest and the largest. */
function spread(numbers, digits) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return `${median.toFixed(digits)} (${sorted[0].toFixed(digits)} … ${sorted.at(-1).toFixed(digits)})`;
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}

function folderBytes(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

function table(head, body) {
  const widths = head.map((cell, i) => Math.max(cell.length, ...body.map((row) => row[i].length)));
  for (const row of [head, widths.map((w) => '-'.repeat(w)), ...body]) {
    console.log(`| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`);
  }
}
