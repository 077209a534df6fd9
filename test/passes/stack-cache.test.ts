import { describe, expect, test } from 'vitest';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { foldLoop } from '../../passes/fold-loop.ts';
import { type StoredLayers, stackCache } from '../../passes/stack-cache.ts';
import { type CheckOptions, checkFixture, expectSameNumbers, fixturesIn } from '../support/fixture.ts';
import { referenceModel, referenceNames } from '../support/reference-model.ts';

const silent = { note: () => {} };

/** For each stored layer: the layers as they run that it stands for, in depth order. */
function runningLayers({ prelude, block, loops, coda }: StoredLayers): readonly (readonly number[])[] {
  return Array.from({ length: prelude + block + coda }, (_, k) => {
    if (k < prelude) return [k];
    if (k >= prelude + block) return [k + block * (loops - 1)];
    return Array.from({ length: loops }, (_, depth) => k + depth * block);
  });
}

/** Caches by layers as they run from, or to, caches by stored layers. */
function options(layers: StoredLayers): CheckOptions {
  const inBlock = (k: number) => k >= layers.prelude && k < layers.prelude + layers.block;
  const others = (tensors: ReadonlyMap<string, Tensor>) =>
    [...tensors].filter(([name]) => !/^(past_key_values|present)\./.test(name));
  return {
    adaptInputs: (inputs) => {
      const stored = runningLayers(layers).flatMap((running, k) =>
        ['key', 'value'].map((part): [string, Tensor] => {
          const found = running.map((i) => inputs.get(`past_key_values.${i}.${part}`)!);
          const { dtype, shape } = found[0]!;
          const data = found.flatMap((tensor) => [...tensor.data]);
          return [
            `past_key_values.${k}.${part}`,
            makeTensor(dtype, inBlock(k) ? [layers.loops, ...shape] : shape, data),
          ];
        }),
      );
      return new Map([...others(inputs), ...stored]);
    },
    adaptOutputs: (outputs) => {
      const running = runningLayers(layers).flatMap((numbers, k) =>
        ['key', 'value'].flatMap((part) => {
          const { dtype, shape, data } = outputs.get(`present.${k}.${part}`)!;
          const size = data.length / numbers.length;
          return numbers.map((i, depth): [string, Tensor] => {
            const entry = data.slice(depth * size, (depth + 1) * size);
            return [`present.${i}.${part}`, makeTensor(dtype, inBlock(k) ? shape.slice(1) : shape, entry)];
          });
        }),
      );
      return new Map([...others(outputs), ...running]);
    },
  };
}

describe('fixtures', () => {
  const layers = { prelude: 0, block: 1, loops: 2, coda: 0 };
  test.each(fixturesIn('stack-cache'))('$title', async ({ file }) => {
    const { notes } = await checkFixture(stackCache(layers), file, options(layers));
    expect(notes).toEqual(['2 caches have an axis of 2 depths.']);
  });
});

describe('reference models', () => {
  test.each(referenceNames)('%s', async (name) => {
    const { graph, model } = await referenceModel(name);
    const { prelude, block, loops, coda } = model.recursion;
    const stacked = stackCache(model.recursion).run(foldLoop.run(graph, silent), silent);
    expect(verifyGraph(stacked)).toEqual([]);

    const caches = stacked.inputs.filter((input) => input.name.startsWith('past_key_values.'));
    const own = graph.inputs.find((input) => input.name === 'past_key_values.0.key')!.type.dims;
    expect(caches.map(({ name, type }) => [name, type.dims])).toEqual(
      Array.from({ length: prelude + block + coda }, (_, k) => {
        const dims = k >= prelude && k < prelude + block ? [loops, ...own] : own;
        return ['key', 'value'].map((part) => [`past_key_values.${k}.${part}`, dims]);
      }).flat(),
    );
    expect(stacked.inputs.slice(0, 3)).toEqual(graph.inputs.slice(0, 3));
    expect(stacked.outputs.map((output) => output.name)).toEqual([
      'logits',
      ...caches.map((input) => input.name.replace('past_key_values', 'present')),
    ]);
    const shuffling = stacked.ops.filter(({ kind }) => kind === 'stack' || kind === 'select');
    expect(shuffling, 'behind fold-loop nothing is stacked or selected').toHaveLength(loops === 1 ? 4 * block : 0);
    await expectSameNumbers(graph, stacked, 'exact', options(model.recursion));
  });

  test('without any layer in the block there is nothing to stack', async () => {
    const { graph } = await referenceModel('kjv-teacher');
    const layers = { prelude: 6, block: 0, loops: 1, coda: 0 };
    const folded = foldLoop.run(graph, silent);
    expect(stackCache(layers).run(folded, silent)).toEqual(folded);
  });

  test('a cache beyond the layers is a bug', async () => {
    const { graph } = await referenceModel('kjv-teacher');
    const layers = { prelude: 0, block: 2, loops: 2, coda: 0 };
    expect(() => stackCache(layers).run(foldLoop.run(graph, silent), silent)).toThrow('is no cache of 4 layers');
  });
});
