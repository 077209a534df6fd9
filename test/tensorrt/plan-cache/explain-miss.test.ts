import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { argumentDifferences } from '../../../compiler/tensorrt/plan-cache/argument-differences.ts';
import { type AskedParts, explainMiss } from '../../../compiler/tensorrt/plan-cache/explain-miss.ts';
import { type PlanParts, planKey } from '../../../compiler/tensorrt/plan-cache/plan-parts.ts';
import type { CacheEntry } from '../../../compiler/tensorrt/plan-cache/read-entry.ts';
import { exampleParts, hashOf } from './example-parts.ts';

// Only parts matter here.
const entryOf = (parts: PlanParts) => ({ key: planKey(parts), parts }) as CacheEntry;

const ask = ({ arguments: given, ...parts }: PlanParts, changes: Partial<AskedParts> = {}): AskedParts => ({
  ...parts,
  argumentsFor: () => given,
  profiles: ['decode', 'small'],
  ...changes,
});

const messagesOf = (was: PlanParts, now: PlanParts) =>
  explainMiss(ask(now), [entryOf(was)]).nearest?.differences.map(({ message }) => message);

describe('a miss names what differs', () => {
  const example = exampleParts();
  test.each<[string, Partial<PlanParts>, readonly string[]]>([
    [
      'the graph',
      { graph: hashOf('b') },
      [`the graph is another one (SHA-256 ${hashOf('b').slice(0, 12)}…, and was ${example.graph.slice(0, 12)}…)`],
    ],
    ['the version', { tensorrt: '11.1.0' }, ['TensorRT is 11.1.0, and was 10.16.0']],
    [
      'the GPU',
      { gpu: 'NVIDIA Other', computeCapability: '8.9' },
      ['the GPU is NVIDIA Other, and was NVIDIA Example 80GB', 'the compute capability is 8.9, and was 9.0'],
    ],
    ['the driver', { driver: '581.0' }, ['the driver is 581.0, and was 580.10.2']],
    [
      'a weight file',
      { weights: { 'model.safetensors': hashOf('x') } },
      [
        `model.safetensors has another content (SHA-256 ${hashOf('x').slice(0, 12)}…, and was ${hashOf('weights').slice(0, 12)}…)`,
      ],
    ],
    [
      'weight files that come and go',
      { weights: { 'a.safetensors': hashOf('weights') } },
      ['a.safetensors is new', 'model.safetensors is gone'],
    ],
    ['a pinned timing cache', { timingCache: hashOf('t') }, ['the pinned timing cache is new']],
    ['a plugin', { argumentFiles: { 'a.so': hashOf('a') } }, ['a.so is new']],
  ])('%s', (_, change, messages) => {
    expect(messagesOf(example, exampleParts(change))).toEqual(messages);
  });

  test.each<[string, readonly string[], readonly string[], readonly string[]]>([
    ['a flag that is new', ['--a=1'], ['--a=1', '--b'], ['--b is new']],
    ['a flag that is gone', ['--a=1', '--b=x=y'], ['--a=1'], ['--b=x=y is gone']],
    ['a value', ['--a=1'], ['--a=2'], ['--a is "2", and was "1"']],
    ['a value that is gone', ['--a=1'], ['--a'], ['--a is without a value, and was "1"']],
    ['a flag that comes twice', ['--p=a'], ['--p=a', '--p=b'], ['--p is "a b", and was "a"']],
    ['the order', ['--a', '--b'], ['--b', '--a'], ['the arguments are the same, in another order']],
    [
      'shapes, by profile and input',
      ['--profile=0', '--optShapes=x:1x8,depth:1', '--profile=1', '--optShapes=x:1x2,depth:1'],
      ['--profile=0', '--optShapes=x:1x9,depth:1', '--profile=1', '--optShapes=x:1x2,depth:1,more:3'],
      ['--optShapes of profile 0 (decode): x is 1x9, and was 1x8', '--optShapes of profile 1 (small): more is new'],
    ],
    [
      'plain flags before shapes, which are many',
      ['--profile=0', '--minShapes=x:1', '--maxShapes=x:2', '--b=1'],
      ['--profile=0', '--minShapes=x:2', '--maxShapes=x:4', '--b=2'],
      [
        '--b is "2", and was "1"',
        '--minShapes of profile 0 (decode): x is 2, and was 1',
        '--maxShapes of profile 0 (decode): x is 4, and was 2',
      ],
    ],
    [
      'a profile that is new',
      ['--profile=0', '--minShapes=x:1'],
      ['--profile=0', '--minShapes=x:1', '--profile=2', '--minShapes=x:4'],
      ['profile 2 is new', '--minShapes of profile 2=x:4 is new'],
    ],
  ])('%s', (_, was, now, messages) => {
    expect(messagesOf(exampleParts({ arguments: [...was] }), exampleParts({ arguments: [...now] }))).toEqual(messages);
  });
});

const argumentsOf = fc.array(
  fc.constantFrom(
    '--a',
    '--b=1',
    '--b=2',
    '--c=',
    '--profile=0',
    '--profile=1',
    '--minShapes=x:1',
    '--minShapes=x:1,y:2',
    '--minShapes=y:2,x:1',
  ),
  { maxLength: 6 },
);

test('arguments differ nowhere exactly where they are the same', () => {
  fc.assert(
    fc.property(argumentsOf, argumentsOf, (was, now) => {
      const same = JSON.stringify(was) === JSON.stringify(now);
      expect(argumentDifferences(was, now, []).length === 0).toBe(same);
    }),
    { numRuns: 2000 },
  );
});

test('there is a hit exactly where the key is kept', () => {
  const parts = fc.record({
    graph: fc.constantFrom(hashOf('g'), hashOf('h')),
    weights: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom(hashOf('1'), hashOf('2'))),
    arguments: argumentsOf,
    argumentFiles: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom(hashOf('1'), hashOf('2'))),
    driver: fc.constantFrom('1', '2'),
    gpu: fc.constantFrom('A', 'B'),
  });
  fc.assert(
    fc.property(parts, fc.array(parts, { maxLength: 4 }), fc.boolean(), (now, kept, same) => {
      const entries = [...kept, ...(same ? [now] : [])].map((change) => entryOf(exampleParts(change)));
      const { outcome, key, nearest } = explainMiss(ask(exampleParts(now)), entries);
      expect(key).toBe(planKey(exampleParts(now)));
      expect(outcome).toBe(entries.some((entry) => entry.key === key) ? 'hit' : 'miss');
      if (outcome === 'miss' && entries.length > 0) expect(nearest!.differences.length).toBeGreaterThan(0);
    }),
    { numRuns: 300 },
  );
});

describe('the nearest entry', () => {
  const far = entryOf(exampleParts({ driver: '1', gpu: 'B' }));
  const near = entryOf(exampleParts({ driver: '2' }));

  test('is the one with the fewest parts that differ', () => {
    expect(explainMiss(ask(exampleParts()), [far, near]).nearest?.key).toBe(near.key);
  });

  test('is one of the same name, however much it differs, where there is any', () => {
    const other = entryOf(
      exampleParts({ arguments: exampleParts().arguments.map((word) => word.replace('all', 'small')) }),
    );
    expect(explainMiss(ask(exampleParts()), [other, far]).nearest?.key).toBe(far.key);
    expect(explainMiss(ask(exampleParts()), [other]).nearest?.differences.map(({ name }) => name)).toEqual([
      '--saveEngine',
    ]);
  });

  test('is the one with the smaller key where several are as near', () => {
    const rivals = ['3', '4', '5', '6'].map((driver) => entryOf(exampleParts({ driver })));
    const keys = rivals.map(({ key }) => key).sort();
    expect(explainMiss(ask(exampleParts()), rivals).nearest?.key).toBe(keys[0]);
    expect(explainMiss(ask(exampleParts()), rivals.toReversed()).nearest?.key).toBe(keys[0]);
  });

  test('is none where nothing is kept', () => {
    const { outcome, nearest } = explainMiss(ask(exampleParts()), []);
    expect({ outcome, nearest }).toEqual({ outcome: 'miss', nearest: undefined });
  });
});

describe('what is unknown is compared with nothing', () => {
  const unknown = { gpu: undefined, computeCapability: undefined, driver: undefined };
  const blind = (changes: object = {}): AskedParts => {
    const asked: Record<string, unknown> = { ...ask(exampleParts()), ...changes };
    for (const part of Object.keys(asked)) if (asked[part] === undefined) delete asked[part];
    return asked as unknown as AskedParts;
  };

  test('all else the same: it depends on the machine, and those that it is kept for are named', () => {
    const entries = [entryOf(exampleParts()), entryOf(exampleParts({ driver: '581' }))];
    const { outcome, key, keptFor, unknown: told } = explainMiss(blind(unknown), entries);
    expect({ outcome, key, told }).toEqual({
      outcome: 'depends',
      key: undefined,
      told: ['gpu', 'computeCapability', 'driver'],
    });
    expect(keptFor.map(({ driver }) => driver).sort()).toEqual(['580.10.2', '581']);
    expect(keptFor[0]).toMatchObject({ gpu: 'NVIDIA Example 80GB', computeCapability: '9.0', tensorrt: '10.16.0' });
  });

  test('something else differs: it is a miss on any machine', () => {
    const { outcome, nearest } = explainMiss(blind({ ...unknown, graph: hashOf('h') }), [entryOf(exampleParts())]);
    expect(outcome).toBe('miss');
    expect(nearest!.differences.map(({ part }) => part)).toEqual(['graph']);
  });

  test('without a version, arguments are those that each kept version would get', () => {
    const [old, recent] = [
      exampleParts({ tensorrt: '10.16.0', arguments: ['--stronglyTyped'] }),
      exampleParts({ tensorrt: '11.1.0', arguments: [] }),
    ];
    const asked = blind({
      tensorrt: undefined,
      argumentsFor: (version: string) => (version.startsWith('10') ? ['--stronglyTyped'] : []),
    });
    const { outcome, keptFor } = explainMiss(asked, [entryOf(old), entryOf(recent)]);
    expect(outcome).toBe('depends');
    expect(keptFor.map(({ tensorrt }) => tensorrt).sort()).toEqual(['10.16.0', '11.1.0']);
  });
});
