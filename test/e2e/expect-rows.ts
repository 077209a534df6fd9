import { expect } from 'vitest';
import type { Recursion } from '../../compiler/read/source-model.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { expectClose } from '../support/expect-close.ts';
import type { PaddedBatch } from '../support/loop-form.ts';

type Outputs = ReadonlyMap<string, Tensor>;

/** An output of a package, at one depth of its leading axis where it has one, and what the judge calls the same. */
export interface Counterpart {
  readonly output: string;
  readonly depth?: number;
  readonly expected: string;
}

/**
 * The caches of a form, and which of the unrolled model's they have to equal when `ran` loops were run: depths that
 * were not run repeat the last one that was.
 */
export function cacheCounterparts(
  form: 'unrolled' | 'loop',
  { prelude, block, loops, coda }: Recursion,
  ran: number = loops,
): readonly Counterpart[] {
  const pair = (output: number, expected: number, depth?: number): readonly Counterpart[] =>
    ['key', 'value'].map((part) => ({
      output: `present.${output}.${part}`,
      expected: `present.${expected}.${part}`,
      ...(depth === undefined ? {} : { depth }),
    }));
  const list = (count: number, make: (i: number) => readonly Counterpart[]) =>
    Array.from({ length: count }, (_, i) => make(i)).flat();
  if (form === 'unrolled') return list(prelude + block * loops + coda, (i) => pair(i, i));
  return [
    ...list(prelude, (k) => pair(k, k)),
    ...list(block, (k) =>
      list(loops, (depth) => pair(prelude + k, prelude + Math.min(depth, ran - 1) * block + k, depth)),
    ),
    ...list(coda, (k) => pair(prelude + block + k, prelude + ran * block + k)),
  ];
}

/**
 * Fails where a row of a padded batch is not what the judge gives for the row alone. What stands at padding is not
 * compared, but it has to be finite.
 */
export function expectRowsAlone(
  found: Outputs,
  { columns, mask }: PaddedBatch,
  expected: readonly Outputs[],
  counterparts: readonly Counterpart[],
  { tolerance, what }: { readonly tolerance: number; readonly what: string },
): void {
  for (const [name, { data }] of found) {
    if (!data.every(Number.isFinite)) expect.fail(`${what}: "${name}" has numbers that are not finite`);
  }
  const own = mask.map((row) => row.flatMap((x, column) => (x === 1 ? [column] : [])));
  for (const { output, depth, expected: name } of counterparts) {
    const tensor = found.get(output);
    if (!tensor) expect.fail(`${what}: there is no output "${output}"`);
    const whole = depth === undefined ? tensor : sliceOf(tensor, depth);
    const rows = name.startsWith('present') ? own : columns;
    // All rows as one list: how far off a number may be depends on how large the numbers are in all of them.
    const [a, b] = [
      joined(rows.map((at, row) => columnsOf(sliceOf(whole, row), at))),
      joined(expected.map((outputs) => sliceOf(outputs.get(name)!, 0).data)),
    ];
    expectClose(a, b, tolerance, `${what}: ${output}${depth === undefined ? '' : ` at depth ${depth}`}`);
  }
}

function sliceOf({ dtype, shape, data }: Tensor, index: number): Tensor {
  const size = data.length / shape[0]!;
  return makeTensor(dtype, shape.slice(1), data.subarray(index * size, (index + 1) * size));
}

/** Some columns of [.., columns, size]. */
function columnsOf({ shape, data }: Tensor, columns: readonly number[]): Float64Array {
  const [width, size] = shape.slice(-2) as [number, number];
  const heads = data.length / (width * size);
  return joined(
    Array.from({ length: heads }, (_, head) =>
      columns.map((column) => data.subarray((head * width + column) * size, (head * width + column + 1) * size)),
    ).flat(),
  ).data;
}

function joined(parts: readonly Float64Array[]): Tensor {
  const data = new Float64Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return makeTensor('f32', [data.length], data);
}
