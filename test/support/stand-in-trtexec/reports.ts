import { writeFileSync } from 'node:fs';
import type { Tensor } from '../../../ir/interpret/tensor.ts';
import type { OnnxGraph } from '../../../targets/onnx/onnx-model.ts';
import type { Log } from './log.ts';

/** `--exportTimes`, with the blanks and line ends of the real one. No transfers, as by default from 11.0 on. */
export function exportTimes(file: string, milliseconds: readonly number[]): void {
  let now = 0;
  const rows = milliseconds.map((compute) => {
    const start = now;
    now += compute;
    const [from, to, took] = [start, now, compute].map(sixDigits);
    return [
      `"startEnqMs" : ${from}, "endEnqMs" : ${from}, "startH2dMs" : ${from}, "endH2dMs" : ${from}`,
      `, "startComputeMs" : ${from}, "endComputeMs" : ${to}, "startD2hMs" : ${to}, "endD2hMs" : ${to}`,
      `, "h2dMs" : 0, "computeMs" : ${took}, "d2hMs" : 0, "latencyMs" : ${took}`,
    ].join('');
  });
  writeFileSync(file, `[\n${rows.map((row, i) => `${i === 0 ? '  ' : ', '}{ ${row} }\n`).join('')}]\n`);
}

/** `--exportOutput`: names unescaped, six digits, `nan` and `inf` as C++ prints them. */
export function exportOutput(file: string, outputs: ReadonlyMap<string, Tensor>): void {
  const entries = [...outputs].map(([name, { dtype, shape, data }], i) => {
    const print = ['f32', 'f16', 'bf16', 'f64'].includes(dtype) ? sixDigits : String;
    const values = Array.from(data, (x) => print(x)).join(', ');
    const lead = i === 0 ? '  ' : ', ';
    return `${lead}{ "name" : "${name}"\n  , "dimensions" : "${shape.join('x')}"\n  , "values" : [ ${values} ]\n  }\n`;
  });
  writeFileSync(file, `[\n${entries.join('')}]\n`);
}

/** `--exportLayerInfo`, as the engine inspector writes it with detailed names. */
export function exportLayerInfo(file: string, graph: OnnxGraph): void {
  const tensor = (name: string) => ({ Name: name, Dimensions: [], 'Format/Datatype': 'Float' });
  const layers = graph.nodes.map(({ name, opType, inputs, outputs }) => ({
    Name: name,
    LayerType: opType,
    Inputs: inputs.filter((input) => input !== '').map(tensor),
    Outputs: outputs.filter((output) => output !== '').map(tensor),
    TacticName: '',
    StreamId: 0,
    Metadata: `[ONNX Layer: ${name}]`,
  }));
  const bindings = [...graph.inputs, ...graph.outputs].map(({ name }) => name);
  writeFileSync(file, `${JSON.stringify({ Layers: layers, Bindings: bindings }, undefined, 2)}\n`);
}

/** What trtexec says of the times. */
export function sayPerformance(log: Log, times: readonly number[]): void {
  const sum = times.reduce((total, time) => total + time, 0);
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  const figures = [
    ['min', at(0)],
    ['max', sorted.at(-1)!],
    ['mean', sum / times.length],
    ['median', at(0.5)],
    ['percentile(90%)', at(0.9)],
    ['percentile(95%)', at(0.95)],
    ['percentile(99%)', at(0.99)],
  ] as const;
  const text = (factor: number) => figures.map(([name, ms]) => `${name} = ${sixDigits(ms * factor)} ms`).join(', ');
  log.say('I', `Warmup completed 1 queries over 200 ms`);
  log.say('I', `Timing trace has ${times.length} queries over ${sixDigits(sum / 1000)} s`);
  log.say('I', '');
  log.say('I', '=== Performance summary ===');
  log.say('I', `Throughput: ${sixDigits((1000 * times.length) / sum)} qps`);
  log.say('I', `Latency: ${text(1)}`);
  log.say('I', `Enqueue Time: ${text(0.1)}`);
  log.say('I', `H2D Latency: ${text(0)}`);
  log.say('I', `GPU Compute Time: ${text(1)}`);
  log.say('I', `D2H Latency: ${text(0)}`);
  log.say('I', `Total Host Walltime: ${sixDigits(sum / 1000)} s`);
  log.say('I', `Total GPU Compute Time: ${sixDigits(sum / 1000)} s`);
  log.say('W', '* GPU compute time is unstable, with coefficient of variance = 7.9%.');
}

/** A float as C++ streams print it: six significant digits, whole numbers as they are. */
export function sixDigits(x: number): string {
  if (Number.isNaN(x)) return 'nan';
  if (!Number.isFinite(x)) return x > 0 ? 'inf' : '-inf';
  if (x === 0) return Object.is(x, -0) ? '-0' : '0';
  const [mantissa = '', exponent = ''] = x.toExponential(5).split('e');
  const power = Number(exponent);
  if (power >= -4 && power < 6) return trim(x.toFixed(5 - power));
  const digits = String(Math.abs(power)).padStart(2, '0');
  return `${trim(mantissa)}e${power < 0 ? '-' : '+'}${digits}`;
}

function trim(digits: string): string {
  return digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
}
