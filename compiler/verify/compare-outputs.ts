import type { PackageManifest } from '../../files/manifest.ts';
import { stack } from '../../ir/interpret/movement.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { invariant } from '../../ir/invariant.ts';
import { confidenceOf } from './confidence-of.ts';
import type { Tally } from './tally.ts';
import type { Tolerance } from './tolerance.ts';

/** Outputs of one call, by name. */
export type Outputs = ReadonlyMap<string, Tensor>;

/** What one call of a package gave, and what is known of it. */
export interface MadeCall {
  /** For people. */
  readonly run: string;
  readonly actual: Outputs;
  /** [batch, past + sequence], row by row: 1 where there is a token. */
  readonly attended: readonly Float64Array[];
  readonly tolerance: Tolerance;
}

/** Outputs of the source model after `run` loops, as a package of the form has them. */
export function outputsOfForm({ form, cache, recursion }: PackageManifest, source: Outputs, run: number): Outputs {
  const { prelude, block, loops } = recursion;
  const outputs = new Map<string, Tensor>();
  const logits = source.get('logits')!;
  outputs.set('logits', logits);
  if (form === 'loop') {
    const [batch, sequence] = logits.shape as [number, number, number];
    outputs.set('exit_loop', makeTensor('i64', [batch, sequence], new Float64Array(batch * sequence).fill(run)));
  }
  cache.layers.forEach(({ part, layer, depth, loops: stacked }, i) => {
    for (const kind of ['key', 'value']) {
      const at = (index: number): Tensor => {
        const tensor = source.get(`present.${index}.${kind}`);
        invariant(tensor, `the source model has no layer ${index}`);
        return tensor;
      };
      // Loops that did not run repeat the last that ran.
      const atDepth = (d: number) => at(prelude + Math.min(d, run - 1) * block + (layer - prelude));
      const expected = {
        prelude: () => at(layer),
        coda: () => at(layer + block * (run - 1)),
        block: () =>
          stacked === undefined ? atDepth(depth ?? 0) : stack(Array.from({ length: loops }, (_, d) => atDepth(d))),
      }[part]();
      outputs.set(`present.${i}.${kind}`, expected);
    }
  });
  return outputs;
}

/** Compares every output that is expected. */
export function compareOutputs(tally: Tally, manifest: PackageManifest, call: MadeCall, expected: Outputs): void {
  const { cache } = manifest;
  for (const [name, tensor] of expected) {
    const layer = /^present\.(\d+)\./.exec(name)?.[1];
    if (layer !== undefined) compareCache(tally, name, call, tensor, cache.layers[Number(layer)]?.loops !== undefined);
    else if (name === 'exit_loop') compareExits(tally, call, tensor);
    else compareLogits(tally, name, call, tensor);
  }
  compareChoices(tally, manifest, call, expected.get('logits')!);
}

/**
 * Compares what a step graph says of its logits: the confidence with that of the expected logits in float64, and the
 * next token with the step's own logits. Any token whose logit is the largest will do: digits that are printed may make
 * several logits equal. Does nothing for packages that have no step.
 * @param logits what is expected, [batch, sequence, vocabulary]
 */
export function compareChoices(
  tally: Tally,
  { cache, exits }: Pick<PackageManifest, 'cache' | 'exits'>,
  call: MadeCall,
  logits: Tensor,
): void {
  if (cache.pageSize === undefined) return;
  const [batch, sequence, vocabulary] = logits.shape as [number, number, number];
  const counts = isToken(call, logits);
  const rows = [...Array(batch * sequence).keys()].map((row) => ({
    counted: counts([Math.floor(row / sequence), row % sequence]),
    expected: logits.data.subarray(row * vocabulary, (row + 1) * vocabulary),
    own: outputOf(call, 'logits').data.subarray(row * vocabulary, (row + 1) * vocabulary),
  }));
  const add = (output: string, dtype: Tensor['dtype'], values: readonly number[], tolerance: number, unit?: number) => {
    const actual = outputOf(call, output);
    tally.add({
      ...{ output, run: call.run, axes: ['batch', 'position', ''], counts, tolerance },
      actual: { ...actual, shape: [...actual.shape, 1] },
      expected: makeTensor(dtype, [batch, sequence, 1], values),
      ...(unit === undefined ? {} : { unit }),
    });
  };
  const kind = exits?.confidence ?? 'top1';
  const scale = rows.reduce(
    (most, row) => (row.counted ? row.expected.reduce((a, x) => Math.max(a, Math.abs(x)), most) : most),
    0,
  );
  const sure = rows.map(({ counted, expected }) => (counted ? confidenceOf(kind, expected) : 0));
  // No confidence changes by more than twice as much as the logits do, and all are between 0 and 1.
  add('confidence', 'f32', sure, Math.min(1, 2 * call.tolerance('logits') * Math.max(scale, 1)), 1);
  const said = outputOf(call, 'next_token').data;
  const tokens = rows.map(({ counted, own }, i) => {
    const most = own.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    return !counted || own[said[i]!] === most ? said[i]! : own.indexOf(most);
  });
  add('next_token', 'i64', tokens, 0);
}

/** Compares an output [batch, sequence, vocabulary]. */
export function compareLogits(tally: Tally, output: string, call: MadeCall, expected: Tensor): void {
  tally.add({
    output,
    run: call.run,
    actual: outputOf(call, output),
    expected,
    axes: ['batch', 'position', 'token'],
    counts: isToken(call, expected),
    tolerance: call.tolerance(output),
    isLogits: true,
  });
}

/** Compares an output [batch, heads, past + sequence, head_dim], with a leading axis of loops if it has one. */
function compareCache(tally: Tally, output: string, call: MadeCall, expected: Tensor, hasLoops: boolean): void {
  const batch = hasLoops ? 1 : 0;
  tally.add({
    output,
    run: call.run,
    actual: outputOf(call, output),
    expected,
    axes: [...(hasLoops ? ['loop'] : []), 'batch', 'head', 'position', 'dimension'],
    // Padding has keys and values too, but nobody ever reads them.
    counts: (at) => call.attended[at[batch]!]![at[batch + 2]!] === 1,
    tolerance: call.tolerance(output),
  });
}

/** Compares an output [batch, sequence] of whole numbers. */
function compareExits(tally: Tally, call: MadeCall, expected: Tensor): void {
  const actual = outputOf(call, 'exit_loop');
  const asRows = (tensor: Tensor): Tensor => ({ ...tensor, shape: [...tensor.shape, 1] });
  tally.add({
    output: 'exit_loop',
    run: call.run,
    actual: asRows(actual),
    expected: asRows(expected),
    axes: ['batch', 'position', ''],
    counts: isToken(call, expected),
    tolerance: 0,
  });
}

/** Whether a new position, at [batch, position], is a token and not padding. */
function isToken({ attended }: MadeCall, { shape }: Tensor): (at: readonly number[]) => boolean {
  const past = (attended[0]?.length ?? 0) - shape[1]!;
  return ([batch, position]) => attended[batch!]![past + position!] === 1;
}

function outputOf({ actual }: MadeCall, name: string): Tensor {
  // Missing: no shape is like this one, so it is told as a difference.
  return actual.get(name) ?? makeTensor('f32', [0]);
}
