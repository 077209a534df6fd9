import { type Malformed, modelJson, modelText } from './change.ts';

/** Exits that cannot be. */
export const malformedExits: readonly Malformed[] = [
  {
    title: 'an exit after the last loop',
    make: modelJson((m) => (m.exits.after = [2])),
    code: 'impossible-exit',
    at: 'exits.after[0]',
    says: ['is 2', 'a loop from 1 to 1'],
  },
  {
    title: 'an exit before the first loop',
    make: modelJson((m) => (m.exits.after = [0])),
    code: 'wrong-value',
    at: 'exits.after[0]',
    says: ['at least 1', 'found 0'],
  },
  {
    title: 'exits that descend',
    make: modelJson((m) => (m.exits.after = [2, 1]), { loops: 3, ranks: undefined }),
    code: 'impossible-exit',
    at: 'exits.after[1]',
    says: ['must ascend', '1 follows 2'],
  },
  {
    title: 'an exit twice',
    make: modelJson((m) => (m.exits.after = [1, 1]), { loops: 3, ranks: undefined }),
    code: 'impossible-exit',
    at: 'exits.after[1]',
    says: ['must ascend', '1 follows 1'],
  },
  {
    title: 'a confidence that nobody has',
    make: modelJson((m) => (m.exits.confidence = 'top2')),
    code: 'wrong-value',
    at: 'exits.confidence',
    says: ['one of "top1", "margin", "entropy"', 'found "top2"'],
  },
  {
    title: 'a threshold of NaN',
    make: modelText((text) => text.replace('"after"', '"threshold": NaN, "after"')),
    code: 'invalid-json',
    in: 'model.json',
    says: ['neither true, false nor null'],
  },
  {
    title: 'a threshold of 1e999',
    make: modelText((text) => text.replace('"after"', '"threshold": 1e999, "after"')),
    code: 'number-too-large',
    in: 'model.json',
    says: ['1e999 is too large'],
  },
  {
    title: 'a negative threshold',
    make: modelJson((m) => (m.exits.threshold = -0.1)),
    code: 'wrong-value',
    at: 'exits.threshold',
    says: ['at least 0', 'found -0.1'],
  },
  {
    title: 'a threshold of null',
    make: modelJson((m) => (m.exits.threshold = null)),
    code: 'wrong-type',
    at: 'exits.threshold',
    says: ['a number', 'found null'],
  },
  {
    title: 'exits between layers that run in a row',
    make: modelJson((m) => (m.recursion.order = 'sequence')),
    code: 'impossible-exit',
    at: 'exits.after[0]',
    says: ['is 1, but by the order "sequence" each layer runs its loops before the next one'],
  },
  {
    title: 'exits in a list that repeats no block',
    make: modelJson((m) => (m.recursion = { layers: [0, 1, 1, 0] })),
    code: 'impossible-exit',
    at: 'exits.after[0]',
    says: ['"recursion.layers" repeats no block as a whole', 'nothing to leave early'],
  },
  {
    title: 'an exit behind the last loop of a list',
    make: modelJson((m) => {
      m.recursion = { layers: [0, 1, 0, 1] };
      m.exits.after = [1, 2];
    }),
    code: 'impossible-exit',
    at: 'exits.after[1]',
    says: ['is 2; a loop from 1 to 1'],
  },
];
