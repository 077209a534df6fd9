import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseGraph } from '../../ir/parse.ts';
import { mergeLora } from '../../passes/merge-lora.ts';
import { checkFixture, fixturesIn, readFixture } from '../support/fixture.ts';

describe.each(['bake', 'keep', 'concatenate', 'gather'] as const)('%s', (strategy) => {
  test.each(fixturesIn(`merge-lora/${strategy}`))('$title', async ({ file }) => {
    await checkFixture(mergeLora({ strategy }), file);
  });
});

const fixtures = join(import.meta.dirname, '..', 'fixtures', 'merge-lora');

test('what cannot be baked is named, with the reason', async () => {
  const notes = async (file: string) =>
    (await checkFixture(mergeLora({ strategy: 'bake' }), join(fixtures, 'bake', file))).notes.filter((note) =>
      note.includes('kept'),
    );
  expect(await notes('loop.rtc')).toEqual([
    'block/layer.0/q: kept, as it differs from depth to depth in a loop',
    'block/layer.0/k: kept, as it differs from depth to depth in a loop',
  ]);
  expect(await notes('kept.rtc')).toEqual([
    'up: kept, as the product that it is added to is used elsewhere',
    'other: kept, as the weight that it is added to is computed',
  ]);
});

test('the cost model counts what a strategy reads, multiplies and writes', async () => {
  const { notes } = await checkFixture(mergeLora({ strategy: 'bake' }), join(fixtures, 'bake', 'merged.rtc'));
  // W: 6·4 + 2·4. A and B: 2·(4 + 6) + 3·(4 + 2). One scale is 2, which multiplies A; the other, 1.5, is a node.
  expect(notes.slice(0, 3)).toEqual([
    'keep: 0.3 kB of weights, 0.000 million multiplications and 9 nodes a token, about 21 us; writes nothing',
    'concatenate: 0.3 kB of weights, 0.000 million multiplications and 9 nodes a token, about 20 us; writes nothing',
    'bake: 0.1 kB of weights, 0.000 million multiplications and 2 nodes a token, about 5 us; writes 0.1 kB',
  ]);
});

test('by depth, what cannot be merged is named, with the reason', async () => {
  const notes = async (strategy: 'bake' | 'concatenate', file: string) =>
    (await checkFixture(mergeLora({ strategy }), join(fixtures, strategy, file))).notes;
  expect((await notes('bake', 'by-depth.rtc')).slice(-2)).toEqual([
    'block/layer.0/q: kept, as rows of one step differ in their depth',
    'block/layer.0/k: kept, as rows of one step differ in their depth',
  ]);
  expect((await notes('concatenate', 'by-depth-computed.rtc')).slice(-3)).toEqual([
    'computed: factors are looked up for every row, as its factors are not stacked from weights',
    'scale: factors are looked up for every row, as its scale is computed',
    'ranks: factors are looked up for every row, as its factors differ in their ranks',
  ]);
});

test('by depth, the cost model counts a step of 8 rows', async () => {
  const { notes } = await checkFixture(mergeLora({ strategy: 'gather' }), join(fixtures, 'gather', 'by-depth.rtc'));
  // W: 6·4 + 2·4. All ranks: (2 + 1 + 2)·(4 + 6) + 1·(4 + 2) = 56; the highest: 2·10 + 1·6 = 26, for each of 8 rows.
  expect(notes.slice(0, 3)).toEqual([
    'keep: 0.4 kB of weights, 0.001 million multiplications and 8 nodes a step of 8 rows, about 19 us; writes nothing',
    'concatenate: 0.4 kB of weights, 0.001 million multiplications and 7 nodes a step of 8 rows, about 17 us; writes nothing',
    'gather: 2.6 kB of weights, 0.000 million multiplications and 16 nodes a step of 8 rows, about 31 us; writes nothing',
  ]);
});

test('auto joins depths where their factors are few, and looks them up where a row has a small part of them', () => {
  const chosen = (loops: number) => {
    const parts = (name: string, dims: string) =>
      Array.from({ length: loops }, (_, d) => `file "m" "${name}.${d}" f32[${dims}] @${4096 * d}+4096`).join(', ');
    const parsed = parseGraph(`graph(%x: f32[rows,64], %depth: i64[rows]) {
      weight %a: f32[${loops},16,64] = stack(${parts('a', '16,64')})
      weight %b: f32[${loops},64,16] = stack(${parts('b', '64,16')})
      weight %w: f32[64,64] = file "m" "w" f32[64,64] @0+16384
      %s: f32[${loops}] = constant {dtype=f32, dims=[${loops}], values=[${new Array(loops).fill(1)}]}
      %base: f32[rows,64] = linear %x, %w
      %y: f32[rows,64] = low_rank_by_depth %x, %a, %b, %s, %depth
      %z: f32[rows,64] = add %base, %y
      return %z
    }`);
    if (!parsed.ok) return expect.fail(JSON.stringify(parsed.problems));
    const facts = new Map<string, string>();
    mergeLora({ strategy: 'auto' }).run(parsed.graph, {
      note: () => {},
      fact: (name, value) => facts.set(name, value),
    });
    return facts.get('strategy');
  };
  expect(chosen(3)).toBe('keep');
  expect(chosen(200)).toBe('gather');
});

test('factors are gathered where rows have depths, and only there', async () => {
  const facts = new Map<string, string>();
  const strategyOf = (strategy: 'concatenate' | 'gather', file: string) => {
    const { input } = readFixture(join(fixtures, 'concatenate', file));
    mergeLora({ strategy }).run(input, { note: () => {}, fact: (name, value) => facts.set(name, value) });
    return facts.get('strategy');
  };
  expect(strategyOf('gather', 'shared-input.rtc')).toBe('keep');
  expect(strategyOf('gather', 'by-depth.rtc')).toBe('gather');
  expect(strategyOf('concatenate', 'by-depth-computed.rtc')).toBe('gather');
});
