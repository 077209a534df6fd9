import { describe, expect, test } from 'vitest';
import { graphBuilder } from '../../ir/builder.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import type { OpKind } from '../../ir/op-table.ts';
import { opTable } from '../../ir/op-table.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { expectClose } from '../support/expect-close.ts';
import { alongAxisCases } from './kernel-cases/along-axis.ts';
import { elementwiseCases } from './kernel-cases/elementwise.ts';
import type { KernelCase, KernelCases } from './kernel-cases/kernel-case.ts';
import { productCases } from './kernel-cases/products.ts';
import { shapeCases } from './kernel-cases/shape.ts';
import { transformerCases } from './kernel-cases/transformer.ts';

type PlainKind = Exclude<OpKind, 'loop'>;

const cases: KernelCases<PlainKind> = {
  ...elementwiseCases,
  ...shapeCases,
  ...productCases,
  ...alongAxisCases,
  ...transformerCases,
};

test('every operation of the table is tried here, but loop, which interpret.test.ts tries', () => {
  expect(Object.keys(cases).sort()).toEqual(
    Object.keys(opTable)
      .filter((kind) => kind !== 'loop')
      .sort(),
  );
  for (const [kind, list] of Object.entries(cases)) expect(list.length, kind).toBeGreaterThan(0);
});

describe.each(Object.keys(cases) as PlainKind[])('%s', (kind) => {
  const list: readonly KernelCase<PlainKind>[] = cases[kind];
  test.each(list.map((one, i) => ({ title: one.title ?? `case ${i}`, ...one })))('$title', async (one) => {
    const { operands, attrs, sizes = {}, expected } = one;
    const names = new Map(Object.entries(sizes).map(([name, size]) => [size, name]));
    const b = graphBuilder(kind);
    const inputs = operands.map(({ dtype, shape }, i) =>
      b.input(
        `x${i}`,
        tensor(
          dtype,
          shape.map((size) => names.get(size) ?? size),
        ),
      ),
    );
    // Sizes and counts take no operands: theirs only bind the names.
    const used = opTable[kind].operands.length === 0 ? [] : inputs;
    const results = b.addAll(kind, used as never, attrs);
    results.forEach((result, i) => {
      b.output(`y${i}`, result);
    });
    const graph = b.finish('unrolled');
    expect(verifyGraph(graph)).toEqual([]);

    const given = new Map(operands.map((x, i) => [`x${i}`, x]));
    const before = operands.map((x) => x.data.slice());
    const found = await interpret(graph, given, { readWeight: () => expect.fail('no weights here') });
    expect(results.length).toBe(expected.length);
    expected.forEach((x, i) => {
      expectClose(found.get(`y${i}`)!, x, kind === 'erf' ? 1e-10 : 1e-13, `result ${i}`);
    });
    expect(operands.map((x) => x.data)).toEqual(before);
  });
});
