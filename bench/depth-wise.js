// Full depth, sequence-wise and depth-wise batching side by side, on a model of 303 million stored parameters that is
// made for it: makes and compiles it (both forms, so that full depth is compared with `unrolled`), then runs `rtc bench`.
// Exits are a made trace; a threshold with about the same mean runs beside it. The workload has more sequences than the
// time is enough for: the queue never empties, and every round but the first is of the steady state.
//
//   npm run build && node bench/depth-wise.js [--loops 2|3] [--rows 8] [--lora RANK] [--dialect portable|ort]
//     [--seconds 200] [--keep DIR] [-- options of rtc bench]
//
// The shape, by arithmetic: of the block's 267 million numbers a pass reads all, a head 33 million, h = 0.12 of a pass
// where both are bound by memory. A token at full depth takes R + h / M passes, M rows leaving after E loops E (1 + h'),
// with h' a head for M / E rows, which reads as much: (R + h) / (E (1 + h)) is 1.58 for 2 loops that end after 1.2, and
// 1.58 for 3 that end after 1.76. At 97 % of that both are above 1.5.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { benchShape, makeRandomModel } from './make-random-model.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    loops: { type: 'string', default: '2' },
    lora: { type: 'string', default: '0' },
    dialect: { type: 'string', default: 'portable' },
    rows: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '200' },
    keep: { type: 'string', default: join(tmpdir(), 'rtc-bench-models') },
  },
});
const [loops, lora] = [Number(values.loops), Number(values.lora)];
/** The paper's own means: oracle exits of its models with 2 and 3 loops. */
const meanLoops = loops === 2 ? 1.2 : loops === 3 ? 1.76 : (1 + loops) / 2;

const root = fileURLToPath(new URL('..', import.meta.url));
const name = `random-${loops}-loops${lora > 0 ? `-lora-${lora}` : ''}`;
const model = join(values.keep, name);
if (!existsSync(join(model, 'model.json'))) {
  const { parameters } = makeRandomModel(model, { ...benchShape, name, loops, lora });
  console.log(`made ${name}: ${(parameters / 1e6).toFixed(0)} million parameters stored`);
}
const packages = Object.fromEntries(
  ['depth-batched', 'unrolled'].map((form) => {
    const out = join(values.keep, `${name}-${form}-${values.dialect}`);
    rtc('compile', model, '--form', form, '--dialect', values.dialect, '--out', out, '--quiet');
    return [form, out];
  }),
);
rtc(
  'bench',
  packages['depth-batched'],
  ...['--unrolled', packages.unrolled, '--rows', values.rows, '--mean-loops', String(meanLoops)],
  ...['--exit-threshold', 'auto', '--sequences', '128', '--prompt-tokens', '32..64', '--new-tokens', '96..160'],
  ...['--rounds', '128', '--max-seconds', values.seconds, ...positionals],
);

function rtc(...args) {
  const { status } = spawnSync(process.execPath, ['bin/rtc.js', ...args], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
