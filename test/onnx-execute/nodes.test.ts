import { describe, expect, test } from 'vitest';
import { knownOperators } from '../../targets/onnx/execute/find-kernel.ts';
import { expectClose } from '../support/expect-close.ts';
import { nodeCases } from './node-cases.ts';
import { feedsOf, modelOf, runOurs, runTheirs } from './one-node.ts';

describe('nodes give what ONNX Runtime gives', () => {
  test.each(nodeCases.map((one) => ({ ...one, title: `${one.opType} ${one.title ?? ''}`, one })))('$title', async ({
    one,
  }) => {
    const model = modelOf(one);
    const feeds = feedsOf(one);
    const expected = await runTheirs(model, feeds);
    const found = await runOurs(model, feeds);
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, tensor] of expected) expectClose(found.get(name)!, tensor, 2e-6, name);
  });
});

test('every operator is tried', () => {
  const elsewhere = ['Loop', 'If'];
  const tried = new Set(nodeCases.map(({ domain = '', opType }) => (domain === '' ? opType : `${domain}.${opType}`)));
  expect(
    knownOperators()
      .filter((name) => !tried.has(name))
      .sort(),
  ).toEqual(elsewhere.sort());
});
