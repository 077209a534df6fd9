import { describe, expect, test } from 'vitest';
import { graphBuilder } from '../../ir/builder.ts';
import { createInterpreter, interpret } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { type FileWeight, literal, type WeightExpr } from '../../ir/weights.ts';

const noWeights = { readWeight: () => expect.fail('no weights here') };

describe('loop', () => {
  /** Carries x, adds each depth's entry, collects the depth times ten plus the carried value. */
  function looping(options: { readonly stopAt?: number; readonly limited?: boolean }) {
    const b = graphBuilder('loop');
    const x = b.input('x', tensor('f32', []));
    const each = b.input('each', tensor('f32', [4]));
    const limit = options.limited ? b.input('limit', tensor('i64', [])) : undefined;
    const ten = b.constant('f32', 10);
    const { carried, collected } = b.loop(
      { loops: 4, carried: [x], each: [each], ...(limit && { limit }) },
      (depth, [state], [entry]) => {
        const next = b.add('add', [state!, entry!], {});
        const seen = b.add('add', [b.add('mul', [b.add('cast', [depth], { to: 'f32' }), ten], {}), next], {});
        const stop =
          options.stopAt === undefined ? undefined : b.add('equal', [depth, b.constant('i64', options.stopAt)], {});
        return { carried: [next], collected: [seen, depth], ...(stop && { stop }) };
      },
    );
    b.output('last', carried[0]!);
    b.output('seen', collected[0]!);
    b.output('depths', collected[1]!);
    return b.finish('folded');
  }

  async function run(options: Parameters<typeof looping>[0], limit?: number) {
    const inputs = new Map([
      ['x', makeTensor('f32', [], [1])],
      ['each', makeTensor('f32', [4], [1, 2, 3, 4])],
    ]);
    if (limit !== undefined) inputs.set('limit', makeTensor('i64', [], [limit]));
    const outputs = await interpret(looping(options), inputs, noWeights);
    return Object.fromEntries([...outputs].map(([name, x]) => [name, [...x.data]]));
  }

  test('carries, hands out entries and collects', async () => {
    expect(await run({})).toEqual({ last: [11], seen: [2, 14, 27, 41], depths: [0, 1, 2, 3] });
  });

  test('a limit is clamped to 1 and to loops; depths that did not run repeat the last that did', async () => {
    expect(await run({ limited: true }, 2)).toEqual({ last: [4], seen: [2, 14, 14, 14], depths: [0, 1, 1, 1] });
    expect(await run({ limited: true }, -5)).toEqual({ last: [2], seen: [2, 2, 2, 2], depths: [0, 0, 0, 0] });
    expect((await run({ limited: true }, 99)).depths).toEqual([0, 1, 2, 3]);
  });

  test('a depth that stops is the last one, and counts', async () => {
    expect(await run({ stopAt: 2 })).toEqual({ last: [7], seen: [2, 14, 27, 27], depths: [0, 1, 2, 2] });
    expect((await run({ stopAt: 2, limited: true }, 2)).depths).toEqual([0, 1, 1, 1]);
  });

  test('runs inside a loop, and gives what it was given when nothing changes it', async () => {
    const b = graphBuilder('nested');
    const x = b.input('x', tensor('f32', []));
    const { carried } = b.loop({ loops: 3, carried: [x, x] }, (_, [outer, untouched]) => {
      const inner = b.loop({ loops: 2, carried: [outer!] }, (__, [state]) => ({
        carried: [b.add('add', [state!, x], {})],
      }));
      return { carried: [inner.carried[0]!, untouched!] };
    });
    b.output('sum', carried[0]!);
    b.output('untouched', carried[1]!);
    const outputs = await interpret(b.finish('folded'), new Map([['x', makeTensor('f32', [], [2])]]), noWeights);
    expect([...outputs.values()].map((t) => t.data[0])).toEqual([14, 2]);
  });
});

describe('sizes', () => {
  const b = graphBuilder('sizes');
  b.input('ids', tensor('i64', ['batch', 'sequence']));
  b.input('mask', tensor('i64', ['batch', 'past+sequence']));
  b.output('total', b.add('size', [], { of: 'past+sequence' }));
  b.output('past', b.add('size', [], { of: 'past' }));
  const graph = b.finish('unrolled');
  const run = (ids: readonly number[], mask: readonly number[], more: [string, Tensor][] = []) =>
    interpret(graph, new Map([['ids', makeTensor('i64', ids)], ['mask', makeTensor('i64', mask)], ...more]), noWeights);

  test('a name that only a sum has is found', async () => {
    const outputs = await run([2, 3], [2, 7]);
    expect([...outputs.values()].map((t) => t.data[0])).toEqual([7, 4]);
  });

  test('what contradicts is named with both sides', async () => {
    await expect(run([2, 3], [1, 7])).rejects.toThrow(
      'axis 0 of the input "mask" is batch with batch = 2: 2, but is given 1',
    );
    await expect(run([2, 3], [2, 2])).rejects.toThrow('axis 1 of the input "mask" is past+sequence');
    await expect(run([2, 3, 1], [2, 3])).rejects.toThrow('"ids" is i64[batch,sequence], but is given i64[2,3,1]');
    await expect(run([2, 3], [2, 3], [['more', makeTensor('i64', [])]])).rejects.toThrow('no input "more"');
    await expect(interpret(graph, new Map(), noWeights)).rejects.toThrow('no tensor for the input "ids"');
    const floats = new Map([['ids', makeTensor('f32', [1, 1])]]);
    await expect(interpret(graph, floats, noWeights)).rejects.toThrow('but is given f32[1,1]');
  });

  test('so is what an operation makes of the wrong size', async () => {
    const c = graphBuilder('wrong');
    const x = c.input('x', tensor('f32', ['n']));
    c.adopt({
      kind: 'neg',
      operands: [x],
      attrs: {},
      results: [{ name: 'y', type: tensor('f32', ['n+1']) }],
      scope: 'somewhere',
      body: undefined,
    });
    const graphOfWrong = c.finish('unrolled');
    const inputs = new Map([['x', makeTensor('f32', [2])]]);
    await expect(interpret(graphOfWrong, inputs, noWeights)).rejects.toThrow(
      '%y (neg in "somewhere") is f32[n+1], not f32[2]',
    );
  });
});

describe('weights', () => {
  const file: FileWeight = { kind: 'file', file: 'm', tensor: 't', dtype: 'f32', dims: [2, 2], offset: 0, length: 16 };
  const stored = makeTensor('f32', [2, 2], [1, 2, 3, 4]);

  async function evaluate(expr: WeightExpr, round = false): Promise<Tensor> {
    const b = graphBuilder('weight');
    b.output('w', b.weight('w', expr));
    return (await interpret(b.finish('unrolled'), new Map(), { readWeight: () => stored, round })).get('w')!;
  }

  test.each<{ readonly expr: WeightExpr; readonly expected: readonly number[] }>([
    { expr: file, expected: [1, 2, 3, 4] },
    { expr: literal('f32', [3], [1, -0, 3]), expected: [1, -0, 3] },
    { expr: { kind: 'transpose', of: file, perm: [1, 0] }, expected: [1, 3, 2, 4] },
    { expr: { kind: 'offset', of: file, by: 1 }, expected: [2, 3, 4, 5] },
    { expr: { kind: 'concat', axis: 1, of: [file, file] }, expected: [1, 2, 1, 2, 3, 4, 3, 4] },
    {
      expr: { kind: 'stack', of: [file, literal('f32', [1, 2], [5, 6]), literal('f32', [0, 0], [])] },
      expected: [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0],
    },
    {
      // [[1, 2], [3, 4]] + 0.5 · [[2], [4]] · [[10, 20]]
      expr: {
        kind: 'merge',
        base: file,
        a: literal('f32', [1, 2], [10, 20]),
        b: literal('f32', [2, 1], [2, 4]),
        scale: 0.5,
      },
      expected: [11, 22, 23, 44],
    },
  ])('$expr.kind', async ({ expr, expected }) => {
    expect([...(await evaluate(expr)).data]).toEqual(expected);
  });

  test('a cast rounds when asked to, and only then', async () => {
    const third = literal('f32', [], [Math.fround(1 / 3)]);
    expect((await evaluate({ kind: 'cast', of: third, to: 'bf16' })).data[0]).toBe(Math.fround(1 / 3));
    expect((await evaluate({ kind: 'cast', of: third, to: 'bf16' }, true)).data[0]).toBe(0.333984375);
  });

  test('a file is read when an operation asks for it, once, also for several interpreters with one cache', async () => {
    const b = graphBuilder('shared');
    const x = b.input('x', tensor('f32', [1, 2]));
    const used = b.weight('used', { kind: 'cast', of: file, to: 'f64' });
    const again = b.weight('again', { kind: 'transpose', of: file, perm: [1, 0] });
    b.weight('unused', { ...file, tensor: 'other' });
    const wide = b.add('cast', [x], { to: 'f64' });
    b.output('y', b.add('linear', [wide, used], {}));
    b.output('z', b.add('linear', [x, again], {}));
    const graph = b.finish('unrolled');
    const read: string[] = [];
    const options = {
      readWeight: async ({ tensor: name }: FileWeight) => {
        read.push(name);
        return stored;
      },
      cache: new Map<string, Tensor>(),
    };
    const inputs = new Map([['x', makeTensor('f32', [1, 2], [1, 1])]]);
    const first = createInterpreter(graph, options);
    await first.run(inputs);
    await first.run(inputs);
    const outputs = await createInterpreter(graph, options).run(inputs);
    expect([...outputs.get('y')!.data, ...outputs.get('z')!.data]).toEqual([3, 7, 4, 6]);
    expect(read).toEqual(['t']);
  });

  test('a reader that gives another shape is found out', async () => {
    await expect(evaluate({ ...file, dims: [4] })).rejects.toThrow('t of m was read as f32[2,2], not f32[4]');
  });
});

describe('rounding', () => {
  const inputs = new Map([['x', makeTensor('bf16', [2], [0.3, 100])]]);
  const b = graphBuilder('rounding');
  const x = b.input('x', tensor('bf16', [2]));
  const y = b.add('mul', [x, x], {});
  b.output('y', y);
  b.output('wide', b.add('cast', [y], { to: 'f32' }));
  b.output('narrow', b.add('cast', [b.add('exp', [b.add('cast', [x], { to: 'f32' })], {})], { to: 'bf16' }));
  const graph = b.finish('lowered');

  test('every input and result becomes what its type can hold', async () => {
    const outputs = await interpret(graph, inputs, { ...noWeights, round: true });
    // 0.3 is 0.30078125 in bf16; its square, 0.09047…, is 0.09033203125 (0.09 itself would be 0.08984375); 10000 is 9984 or 10048, and 9984 is nearer.
    expect([...outputs.get('y')!.data]).toEqual([0.09033203125, 9984]);
    expect([...outputs.get('wide')!.data]).toEqual([0.09033203125, 9984]);
    expect([...outputs.get('narrow')!.data]).toEqual([1.3515625, Number.POSITIVE_INFINITY]);
  });

  test('otherwise all stays in float64, and the inputs as they were either way', async () => {
    const outputs = await interpret(graph, inputs, noWeights);
    expect([...outputs.get('y')!.data]).toEqual([0.3 * 0.3, 10000]);
    expect(outputs.get('narrow')!.data[0]).toBe(Math.exp(0.3));
    expect([...inputs.get('x')!.data]).toEqual([0.3, 100]);
  });
});
