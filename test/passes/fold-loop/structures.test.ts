import { describe, expect, test } from 'vitest';
import { type GraphBuilder, graphBuilder } from '../../../ir/builder.ts';
import type { Graph, Value } from '../../../ir/graph.ts';
import { tensor } from '../../../ir/tensor-type.ts';
import { verifyGraph } from '../../../ir/verify.ts';
import type { FoundLoop, NoLoop } from '../../../passes/fold-loop/find-loop.ts';
import { findLoop, foldLoop } from '../../../passes/fold-loop.ts';
import { unrollLoop } from '../../../passes/unroll-loop.ts';
import { expectSameNumbers } from '../../support/fixture.ts';
import { plainLayer, plainModel, toyGraph, toyWeight } from './toy-model.ts';

const silent = { note: () => {} };

/** A graph of one input x [batch, 4] and what `build` makes of it. */
function graphOf(build: (b: GraphBuilder, x: Value) => Value | readonly Value[]): Graph<'unrolled'> {
  const b = graphBuilder('structure');
  const made = build(b, b.input('x', tensor('f32', ['batch', 4])));
  const results = Array.isArray(made) ? (made as readonly Value[]) : [made as Value];
  results.forEach((value, i) => {
    b.output(`y.${i}`, value);
  });
  return b.finish('unrolled');
}

/** tanh(W x), with the weight of that name. */
function dense(b: GraphBuilder, name: string, x: Value): Value {
  return b.add('tanh', [b.add('linear', [x, b.weight(name, toyWeight(name, [4, 4]))], {})], {});
}

function residual(b: GraphBuilder, name: string, x: Value): Value {
  return b.add('add', [x, dense(b, name, x)], {});
}

function times(count: number, x: Value, step: (x: Value, depth: number) => Value): Value {
  let value = x;
  for (let depth = 0; depth < count; depth++) value = step(value, depth);
  return value;
}

/** Folds, checks that folded and unrolled compute the same, and tells what was found. */
async function folded(graph: Graph<'unrolled'>): Promise<FoundLoop> {
  const found = findLoop(graph);
  expect(found, 'a loop').toMatchObject({ found: true });
  const result = foldLoop.run(graph, silent);
  expect(verifyGraph(result)).toEqual([]);
  await expectSameNumbers(graph, result, 'exact');
  const back = unrollLoop.run(result, silent);
  expect(verifyGraph(back)).toEqual([]);
  await expectSameNumbers(graph, back, 'exact');
  return found as FoundLoop;
}

function notFolded(graph: Graph<'unrolled'>): NoLoop {
  const notes: string[] = [];
  const result = foldLoop.run(graph, { note: (message) => notes.push(message) });
  expect(result).toEqual({ ...graph, stage: 'folded' });
  const search = findLoop(graph);
  expect(search.found).toBe(false);
  const { reason, nearest } = search as NoLoop;
  expect(notes).toEqual([`No loop: ${reason}`]);
  return { found: false, reason, nearest };
}

const names = (values: readonly { readonly name: string }[]) => values.map(({ name }) => name);

describe('what is a loop', () => {
  test('two layers three times, between two others of the same kind', async () => {
    const graph = graphOf((b, x) => {
      const before = residual(b, 'first', residual(b, 'zeroth', x));
      return residual(
        b,
        'last',
        times(3, before, (h) => residual(b, 'w.2', residual(b, 'w.1', h))),
      );
    });
    const found = await folded(graph);
    expect(found).toMatchObject({ loops: 3, ops: { prelude: 6, block: 6, coda: 3 }, layersAre: 'repetition' });
    expect(names(found.shared)).toEqual(['w.1', 'w.2']);
    expect(found.remarks).toEqual([]);
  });

  test('a loop without residual or norm, whose prelude ends as a repetition does', async () => {
    const graph = graphOf((b, x) => times(4, dense(b, 'first', x), (h) => dense(b, 'w', h)));
    expect(await folded(graph)).toMatchObject({ loops: 4, ops: { prelude: 2, block: 2, coda: 0 } });
  });

  test('two streams, each made from the other, carry two values', async () => {
    const graph = graphOf((b, x) => {
      let [z, h] = [dense(b, 'z', x), dense(b, 'h', x)];
      for (let depth = 0; depth < 3; depth++) {
        z = residual(b, 'low', b.add('add', [b.add('add', [z, h], {}), x], {}));
        h = residual(b, 'high', b.add('add', [h, z], {}));
      }
      return dense(b, 'head', h);
    });
    const found = await folded(graph);
    expect(found).toMatchObject({ loops: 3 });
    expect(found.carried).toHaveLength(2);
    expect(names(found.shared)).toEqual(expect.arrayContaining(['low', 'high']));
  });

  test('a step that reads the two states before it carries two values', async () => {
    const graph = graphOf((b, x) => {
      let [older, old] = [x, dense(b, 'first', x)];
      for (let depth = 0; depth < 4; depth++) [older, old] = [old, b.add('add', [dense(b, 'w', old), older], {})];
      return old;
    });
    const found = await folded(graph);
    expect(found).toMatchObject({ loops: 4 });
    expect(found.carried).toHaveLength(2);
  });

  test('a sum over depths is collected', async () => {
    const graph = graphOf((b, x) => {
      let [sum, h] = [b.add('neg', [x], {}), x];
      for (let depth = 0; depth < 3; depth++) {
        h = residual(b, 'w', h);
        sum = b.add('add', [sum, b.add('mul', [h, b.constant('f32', depth + 1)], {})], {});
      }
      return sum;
    });
    expect(await folded(graph)).toMatchObject({ loops: 3, carried: [{ name: 'x' }], collected: [{}] });
  });

  test('a weight that the block uses twice', async () => {
    const graph = graphOf((b, x) =>
      times(3, x, (h) => residual(b, 'both', residual(b, 'second', residual(b, 'both', residual(b, 'first', h))))),
    );
    expect(await folded(graph)).toMatchObject({ loops: 3, ops: { prelude: 0, block: 12, coda: 0 } });
  });

  test('layers that share everything but an attribute in turn are a block of two', async () => {
    const layer = { ...plainLayer, cache: false };
    const graph = toyGraph({ ...plainModel, loops: 6, layers: [layer] }, (l, { depth }) => ({
      ...l,
      activation: depth! % 2 === 0 ? 'silu' : 'relu',
    }));
    expect(await folded(graph)).toMatchObject({ loops: 3, block: 2 });
  });

  test('three layers of one weight in turn: two alike and one that is not', async () => {
    const graph = graphOf((b, x) =>
      times(9, x, (h, i) =>
        i % 3 === 2 ? b.add('add', [h, b.add('relu', [dense(b, 'w', h)], {})], {}) : residual(b, 'w', h),
      ),
    );
    expect(await folded(graph)).toMatchObject({ loops: 3, ops: { prelude: 0, block: 10, coda: 0 } });
  });

  test('what is different at each depth: vectors, numbers, entries of a stack, values from outside', async () => {
    const graph = graphOf((b, x) => {
      const table = b.weight('table', toyWeight('table', [3, 4]));
      const outside = [b.add('neg', [x], {}), b.add('exp', [x], {}), b.add('relu', [x], {})];
      return times(3, x, (h, depth) => {
        const entry = b.add('select', [table], { axis: 0, index: depth }, `entry.${depth}`);
        const vector = b.weight(`vector.${depth}`, toyWeight(`vector.${depth}`, [4]));
        const number = b.constant('f32', depth + 1);
        const sum = [entry, vector, outside[depth]!].reduce((a, c) => b.add('add', [a, c], {}), residual(b, 'w', h));
        return b.add('mul', [sum, number], {});
      });
    });
    const found = await folded(graph);
    expect(found.perDepth.map(({ kind }) => kind)).toEqual(['values', 'weights', 'values', 'constants']);
    const kinds = foldLoop.run(graph, silent).ops.map(({ kind }) => kind);
    expect(kinds, 'the stack itself goes in, and its entries are gone').toEqual([
      ...['neg', 'exp', 'relu'],
      ...['stack', 'constant', 'loop'],
    ]);
  });

  test('values from outside that the block reads twice are stacked once', async () => {
    const graph = graphOf((b, x) => {
      const outside = [b.add('neg', [x], {}), b.add('exp', [x], {})];
      return times(2, x, (h, depth) => {
        const value = outside[depth]!;
        return b.add('mul', [residual(b, 'w', b.add('add', [h, value], {})), value], {});
      });
    });
    expect((await folded(graph)).perDepth).toMatchObject([
      { kind: 'values', values: [{ name: 'neg' }, { name: 'exp' }] },
    ]);
  });

  test('minus zero is another number at one depth', async () => {
    const graph = graphOf((b, x) =>
      times(2, x, (h, depth) => b.add('mul', [residual(b, 'w', h), b.constant('f32', depth === 0 ? 0 : -0)], {})),
    );
    expect((await folded(graph)).perDepth).toMatchObject([{ kind: 'constants' }]);
  });

  test('a layer of unequal weights among shared ones, if they are the smaller part', async () => {
    const graph = graphOf((b, x) =>
      times(3, x, (h, depth) => residual(b, 'w.2', residual(b, `own.${depth}`, residual(b, 'w.1', h)))),
    );
    const found = await folded(graph);
    expect(found).toMatchObject({ loops: 3, perDepth: [{ kind: 'weights' }] });
    expect(names(found.perDepth[0]!.values)).toEqual(['own.0', 'own.1', 'own.2']);
  });
});

describe('what only looks like one', () => {
  const layer = { ...plainLayer, cache: false };

  test('an ordinary model', () => {
    const model = toyGraph({ ...plainModel, loops: 1, layers: [layer, layer, layer] });
    expect(notFolded(model)).toMatchObject({
      reason: 'No weight is used twice by operations of one kind.',
      nearest: undefined,
    });
  });

  test('an ordinary model whose embedding is its head', () => {
    const model = toyGraph({ ...plainModel, loops: 1, layers: [layer, layer], tied: true });
    expect(notFolded(model).reason).toBe('No weight is used twice by operations of one kind.');
  });

  test('layers that have nothing in common but their norms', () => {
    const graph = graphOf((b, x) =>
      times(4, x, (h, depth) => {
        const normed = b.add('rms_norm', [h, b.weight('ones', toyWeight('ones', [4]))], { epsilon: 1e-6 });
        return b.add('add', [h, dense(b, `w.${depth}`, normed)], {});
      }),
    );
    expect(notFolded(graph)).toMatchObject({
      reason: '"ones" is used 4 times, but depths share only 20 % of the weights in the block.',
      nearest: { weight: 'ones', uses: 4 },
    });
  });

  test.each([
    ['two depths, the second', 2, 1],
    ['three depths, the second', 3, 1],
  ])('an attribute that differs at one depth: of %s', (_, loops, odd) => {
    const model = { ...plainModel, loops, layers: [layer, layer] };
    const graph = toyGraph(model, (l, { depth }) => (depth === odd ? { ...l, activation: 'relu' } : l));
    expect(notFolded(graph).reason).toMatch(/^"\d\.\w+" is used \d times, but relu .* stands where silu .* does\.$/);
  });

  test('an attribute that differs at the last of four depths leaves a loop of three', async () => {
    const model = { ...plainModel, loops: 4, layers: [layer, layer] };
    const graph = toyGraph(model, (l, { depth }) => (depth === 3 ? { ...l, activation: 'relu' } : l));
    const found = await folded(graph);
    expect(found).toMatchObject({ loops: 3, prelude: 0, block: 2, coda: 2 });
    expect(found.remarks).toHaveLength(1);
  });

  test('a matrix that one depth does not share leaves a loop of the others', async () => {
    const model = { ...plainModel, loops: 4, layers: [layer, layer] };
    const graph = toyGraph(model, (l, { depth, stored }) => (depth === 0 && stored === 1 ? { ...l, weights: 7 } : l));
    const found = await folded(graph);
    expect(found).toMatchObject({ loops: 3, prelude: 2, block: 2, coda: 0 });
  });

  test('a matrix that two of three depths share is stored once, not stacked', async () => {
    const graph = graphOf((b, x) =>
      times(3, x, (h, depth) => residual(b, 'big', residual(b, depth === 2 ? 'other' : 'w', residual(b, 'large', h)))),
    );
    const found = await folded(graph);
    expect(found).toMatchObject({ loops: 2, perDepth: [] });
    expect(found.remarks).toEqual([
      '"big" is used 3 times, but weight "other" f32[4,4] stands where "w" f32[4,4] does.',
    ]);
  });

  test('a depth that skips half of the block: the halves that follow each other are left', async () => {
    const graph = graphOf((b, x) =>
      times(3, x, (h, depth) => {
        const half = residual(b, 'w.1', h);
        return depth === 1 ? half : residual(b, 'w.2', half);
      }),
    );
    const found = await folded(graph);
    expect(found).toMatchObject({ loops: 2, ops: { prelude: 6, block: 3, coda: 3 } });
    expect(found.remarks).toHaveLength(1);
  });

  test('a value of the first depth that the second reads, too', () => {
    const graph = graphOf((b, x) => {
      let kept: Value | undefined;
      return times(2, x, (h) => {
        const inner = dense(b, 'w.1', h);
        kept ??= inner;
        return b.add('add', [b.add('mul', [inner, kept], {}), dense(b, 'w.2', inner)], {});
      });
    });
    expect(notFolded(graph).reason).toMatch(/made at one depth, is read at others/);
  });

  test('a weight used side by side', () => {
    const graph = graphOf((b, x) => b.add('add', [dense(b, 'w', x), dense(b, 'w', b.add('neg', [x], {}))], {}));
    expect(notFolded(graph).reason).toBe('"w" is used 2 times, but its uses do not follow from one another.');
  });

  test('an odd number in one of two depths, where it is no operand but an attribute', () => {
    const graph = graphOf((b, x) =>
      times(2, x, (h, depth) => {
        const scale = b.weight('scale', toyWeight('scale', [4]));
        return b.add('add', [h, dense(b, 'w', b.add('rms_norm', [h, scale], { epsilon: 1e-6 + depth }))], {});
      }),
    );
    expect(notFolded(graph).reason).toBe(
      '"w" is used 2 times, but rms_norm {epsilon=0.000001} ("rms_norm") stands where rms_norm {epsilon=1.000001} ("rms_norm.1") does.',
    );
  });
});

describe('several', () => {
  const two = (first: number, second: number) =>
    graphOf((b, x) =>
      times(
        second,
        times(first, x, (h) => residual(b, 'a', h)),
        (h) => residual(b, 'b', h),
      ),
    );

  test('the loop that shares most is folded, and the other named', async () => {
    const found = await folded(two(2, 4));
    expect(found).toMatchObject({ loops: 4, ops: { prelude: 6, block: 3, coda: 0 } });
    expect(found.remarks).toEqual(['another loop, 2 times 3 operations, is left as it is']);
  });

  test('two blocks that run equally often, one after the other, are two loops', async () => {
    expect(await folded(two(3, 3))).toMatchObject({ loops: 3, ops: { block: 3 }, remarks: [expect.any(String)] });
  });

  test('two blocks in turn are one', async () => {
    const graph = graphOf((b, x) => times(3, x, (h) => residual(b, 'b', residual(b, 'a', h))));
    expect(await folded(graph)).toMatchObject({ loops: 3, ops: { block: 6 }, remarks: [] });
  });

  test('a loop that is already there stays and takes no part', async () => {
    const graph = graphOf((b, x) => {
      const outer = dense(b, 'first', x);
      const { carried } = b.loop({ loops: 2, carried: [outer] }, (_, [h]) => ({
        carried: [b.add('add', [residual(b, 'inner', h!), outer], {})],
      }));
      return times(3, carried[0]!, (h) => residual(b, 'w', h));
    });
    const found = findLoop(graph);
    expect(found).toMatchObject({ found: true, loops: 3 });
    const result = foldLoop.run(graph, silent);
    expect(result.ops.filter(({ kind }) => kind === 'loop')).toHaveLength(2);
    await expectSameNumbers(graph, result, 'exact');
  });
});

test('the work grows with the layers, not with their square', () => {
  const milliseconds = (block: number): number => {
    const layers = Array.from({ length: block }, () => ({ ...plainLayer, ranks: [1, 2] }));
    const around = Math.ceil(block / 2);
    const graph = toyGraph({ ...plainModel, loops: 3, prelude: around, coda: around, layers });
    const start = process.cpuUsage();
    const found = findLoop(graph);
    const { user, system } = process.cpuUsage(start);
    expect(found).toMatchObject({ loops: 3, prelude: around, block, coda: around });
    return (user + system) / 1000;
  };
  milliseconds(10);
  const [few, many] = [milliseconds(10), milliseconds(160)];
  // 16 times the layers; the square would be 256 times the work.
  expect(many).toBeLessThan(100 * Math.max(few, 5));
});
