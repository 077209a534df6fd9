// Ranks that a budget allots beside equal ranks, at the same number of parameters: the likelihood of a text that neither
// the model nor the calibration has seen. Prints a Markdown table.
//
//   node bench/convert-budget.js [--model test/models/kjv-teacher] [--text examples/kjv-heldout.txt] [--calibration FILE]
//     [--loops 2,3] [--rank 8,16,32] [--init average] [--part]
//
// Without --calibration, or with --part, the last three quarters of the text are read, and without one the first quarter
// calibrates. Text of the Bible that kjv-teacher was trained on (its last 2 % are kjv-heldout.txt), with Debian's
// package bible-kjv:
//
//   bible -f -l 100000 'ge1:1-re22:21' | cut -d' ' -f2- | head -n 30000 > kjv.txt
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureEffects } from '../dist/compiler/convert/calibrate/measure-effects.js';
import { openCalibration } from '../dist/compiler/convert/calibrate/open-calibration.js';
import { freeBytes } from '../dist/compiler/convert/check-space.js';
import { convertWith } from '../dist/compiler/convert/convert-with.js';
import { evaluateText } from '../dist/compiler/convert/evaluate/evaluate-text.js';
import { allotRanks } from '../dist/convert/allot/allot-ranks.js';
import { openDecomposer } from '../dist/convert/decompose/decomposer.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'test/models/kjv-teacher' },
    text: { type: 'string', default: 'examples/kjv-heldout.txt' },
    calibration: { type: 'string' },
    loops: { type: 'string', default: '2,3' },
    rank: { type: 'string', default: '8,16,32' },
    init: { type: 'string', default: 'average' },
    part: { type: 'boolean', default: false },
  },
});
const scratch = mkdtempSync(join(tmpdir(), 'rtc-budget-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

const whole = readFileSync(values.text, 'utf8');
const cut = whole.indexOf('\n', whole.length / 4) + 1;
const [calibrating, evaluated] = [join(scratch, 'calibration.txt'), join(scratch, basename(values.text))];
writeFileSync(calibrating, values.calibration ? readFileSync(values.calibration) : whole.slice(0, cut));
writeFileSync(evaluated, values.calibration && !values.part ? whole : whole.slice(cut));

/** The library's own parts; what a text says of the model is kept for the next conversion. */
const roots = join(scratch, 'roots');
mkdirSync(roots);
const parts = {
  openDecomposer,
  allotRanks,
  freeBytes,
  measureEffects,
  openCalibration: (model, text, options) => openCalibration(model, text, { ...options, folder: roots }),
};

function value(result) {
  if (result.ok) return result.value;
  for (const { code, message } of result.diagnostics) console.error(`${code}: ${message}`);
  process.exit(1);
}

let count = 0;
async function converted(loops, lora) {
  const out = join(scratch, `converted-${count++}`);
  const result = value(await convertWith({ model: values.model, loops, init: values.init, lora, out }, parts));
  const [{ nll }] = value(await evaluateText([out], evaluated));
  rmSync(out, { recursive: true });
  return { nll, parameters: result.parameters, loss: result.relativeLoss };
}

const [{ nll: original, tokens }] = value(await evaluateText([values.model], evaluated));
console.log(`${values.model}: ${original.toFixed(4)} nats a token on ${tokens} tokens.\n`);
console.log('| loops | rank | parameters of layers | equal ranks | budget | equal, calibrated | budget, calibrated |');
console.log('| --- | --- | --- | --- | --- | --- | --- |');
for (const loops of values.loops.split(',').map(Number)) {
  for (const rank of values.rank.split(',').map(Number)) {
    const equal = await converted(loops, { rank });
    const { originalLayers, convertedLayers } = equal.parameters;
    // The smallest share that has room for as many.
    const parameters = (convertedLayers + 0.5) / originalLayers;
    const row = [equal];
    row.push(await converted(loops, { parameters }));
    row.push(await converted(loops, { rank, calibration: calibrating }));
    row.push(await converted(loops, { parameters, calibration: calibrating }));
    const used = row.map((each) => each.parameters.convertedLayers);
    if (used.some((each) => each > convertedLayers)) throw new Error(`more than ${convertedLayers}: ${used}`);
    const share = `${convertedLayers} (${((100 * convertedLayers) / originalLayers).toFixed(1)} %)`;
    console.log(`| ${[loops, rank, share, ...row.map(({ nll }) => nll.toFixed(4))].join(' | ')} |`);
  }
}
