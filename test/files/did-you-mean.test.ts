import { expect, test } from 'vitest';
import { didYouMean, nearest } from '../../files/did-you-mean.ts';

test.each([
  ['loop', ['loops', 'block', 'prelude'], 'loops'],
  ['Loops', ['loops', 'block'], 'loops'],
  ['self_attn.q_porj', ['self_attn.k_proj', 'self_attn.q_proj'], 'self_attn.q_proj'],
  ['threshhold', ['after', 'threshold'], 'threshold'],
])('%s is near %s', (name, candidates, expected) => {
  expect(nearest(name, candidates)).toBe(expected);
  expect(didYouMean(name, candidates)).toBe(` Did you mean "${expected}"?`);
});

test('nothing is suggested for a name that is like none', () => {
  expect(nearest('zebra', ['loops', 'block'])).toBeUndefined();
  expect(didYouMean('zebra', ['loops', 'block'])).toBe('');
});

test('a very long name is compared in no time', () => {
  expect(nearest('x'.repeat(1e6), ['loops'])).toBeUndefined();
});

test('a name among tens of thousands is found in a moment', () => {
  const names = Array.from({ length: 40_000 }, (_, i) => `model.layers.${i}.self_attn.q_proj.weight`);
  expect(nearest('model.layers.777.self_attn.q_porj.weight', names)).toBe('model.layers.777.self_attn.q_proj.weight');
});
