// Truncated singular value decompositions as `rtc convert` computes them, beside torch.svd_lowrank (q = rank + 10,
// niter = 2, as its users have it) and numpy's full SVD, where python3 has torch and numpy: the same matrices, the same
// number of threads, in turns. Errors are of the Frobenius norm of what is lost, above the least at this rank, which
// numpy's singular values say; python computes them for both, in float64.
//
//   node bench/svd.js [--rank 64,256] [--shapes 2048x2048,256x2048,…] [--kinds decaying,normal] [--rounds 5]
//     [--threads 2] [--no-python]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openDecomposer } from '../dist/convert/decompose/decomposer.js';
import { decayingMatrix, normalMatrix } from './decaying-matrix.js';

const { values } = parseArgs({
  options: {
    rank: { type: 'string', default: '64,256' },
    // TinyLlama's q and o, k and v, gate and up, down; Gemma's.
    shapes: { type: 'string', default: '2048x2048,256x2048,5632x2048,2048x5632,16384x2048' },
    kinds: { type: 'string', default: 'decaying,normal' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    'no-python': { type: 'boolean', default: false },
  },
});
const [ranks, rounds, threads] = [values.rank.split(',').map(Number), Number(values.rounds), Number(values.threads)];

const script = `
import json, sys, time
import numpy as np, torch
folder, rows, cols, rank, threads, full = sys.argv[1], *map(int, sys.argv[2:7])
torch.set_num_threads(threads)
m = np.fromfile(folder + "/matrix", np.float32).reshape(rows, cols)
t = torch.from_numpy(m)
answer = {}
if full:
    began = time.perf_counter()
    values = np.linalg.svd(m, full_matrices=False)[1]
    answer["full"] = (time.perf_counter() - began) * 1e3
    answer["values"] = values.tolist()
times = []
# The first one is not counted.
for _ in range(2):
    began = time.perf_counter()
    u, s, v = torch.svd_lowrank(t, q=min(rank + 10, rows, cols), niter=2)
    times.append((time.perf_counter() - began) * 1e3)
answer["torch"] = times[1]
def loss(u, s, v):
    return float(np.linalg.norm(m.astype(np.float64) - (u.astype(np.float64) * s) @ v.astype(np.float64).T))
if full:
    answer["torchLoss"] = loss(u.numpy()[:, :rank], s.numpy()[:rank].astype(np.float64), v.numpy()[:, :rank])
    read = lambda name, kind: np.fromfile(folder + "/" + name, kind)
    answer["ourLoss"] = loss(read("u", np.float32).reshape(rows, rank), read("s", np.float64), read("v", np.float32).reshape(cols, rank))
print(json.dumps(answer))
`;

function python(folder, { rows, cols }, rank, full) {
  const args = ['-c', script, folder, ...[rows, cols, rank, threads, full ? 1 : 0].map(String)];
  const ran = spawnSync('python3', args, {
    env: { ...process.env, OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) },
    maxBuffer: 1 << 26,
    encoding: 'utf8',
  });
  if (ran.status !== 0) {
    console.error(ran.error?.message ?? ran.stderr.trim().split('\n').at(-1));
    return undefined;
  }
  return JSON.parse(ran.stdout);
}

const opened = await openDecomposer({ threads });
if (!opened.ok) {
  console.error(opened.diagnostics.map(({ message }) => message).join('\n'));
  process.exit(1);
}
const decomposer = opened.value;
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const spread = (list) =>
  list.length === 0
    ? '–'
    : `${median(list).toFixed(0)} (${Math.min(...list).toFixed(0)}–${Math.max(...list).toFixed(0)})`;

let usePython = !values['no-python'];
console.log(`${threads} threads, ${rounds} rounds in turns; ms: median (least–most); excess of the loss in %`);
console.log('| matrix | rank | rtc | torch.svd_lowrank | ours/theirs | numpy, full | rtc excess | torch excess |');
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
for (const kind of values.kinds.split(',')) {
  for (const shape of values.shapes.split(',')) {
    const [rows, cols] = shape.split('x').map(Number);
    const matrix = kind === 'normal' ? normalMatrix(rows, cols) : decayingMatrix(rows, cols);
    const folder = mkdtempSync(join(tmpdir(), 'rtc-svd-'));
    try {
      writeFileSync(join(folder, 'matrix'), matrix.data);
      for (const rank of ranks) {
        if (rank + 10 >= Math.min(rows, cols)) continue;
        const [ours, theirs] = [[], []];
        let found = await decomposer.decompose(matrix, { rank });
        for (const name of ['u', 'v']) writeFileSync(join(folder, name), found[name].data);
        writeFileSync(join(folder, 's'), found.singular);
        let errors;
        for (let round = 0; round < rounds; round++) {
          const began = performance.now();
          found = await decomposer.decompose(matrix, { rank, seed: 0 });
          ours.push(performance.now() - began);
          const answer = usePython ? python(folder, matrix, rank, round === 0) : undefined;
          usePython &&= answer !== undefined;
          if (answer) theirs.push(answer.torch);
          errors ??= answer;
        }
        const excess = (loss) => {
          if (!errors) return '–';
          const best = Math.sqrt(errors.values.slice(rank).reduce((sum, value) => sum + value * value, 0));
          return `${((loss / best - 1) * 100).toFixed(3)}`;
        };
        const ratio = errors ? (median(ours) / median(theirs)).toFixed(2) : '–';
        const full = errors ? errors.full.toFixed(0) : '–';
        console.log(
          `| ${shape} ${kind} | ${rank} | ${spread(ours)} | ${spread(theirs)} | ${ratio} | ${full} | ` +
            `${excess(errors?.ourLoss)} | ${excess(errors?.torchLoss)} |`,
        );
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}
await decomposer.close();
