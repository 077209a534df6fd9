import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Graph } from '../../../ir/graph.ts';
import { parseGraph } from '../../../ir/parse.ts';
import { verifyGraph } from '../../../ir/verify.ts';
import { depthBatch } from '../../../passes/depth-batch.ts';
import { propagateExits } from '../../../passes/propagate-exits.ts';
import { runPasses } from '../../../passes/run-passes.ts';
import { readFixture } from '../../support/fixture.ts';

const layers = { prelude: 0, block: 1, loops: 2, coda: 0 };
const { inputText } = readFixture(join(import.meta.dirname, '../../fixtures/depth-batch/own-number.rtc'));

type Change = readonly [from: string, to: string];

/** The fixture with some of its text replaced. */
function changed(changes: readonly Change[]): Graph<'folded'> {
  const text = changes.reduce((text, [from, to]) => {
    expect(text, 'what is replaced').toContain(from);
    return text.replace(from, to);
  }, inputText);
  const parsed = parseGraph(text);
  if (!parsed.ok) return expect.fail(JSON.stringify(parsed.problems));
  expect(verifyGraph(parsed.graph)).toEqual([]);
  return parsed.graph as Graph<'folded'>;
}

const shifted = '%shifted: f32[batch,sequence,4] = add %x, %depth.half @"block"';
const chosen = '%chosen: f32[batch,sequence,4] = where %depth.even, %shifted, %x @"block"';
const heads = '%heads: f32[batch,2,sequence,2] = attention %q.heads, %keys, %values, %visible {scale=0.5}';

const refusals: Readonly<Record<string, readonly [changes: readonly Change[], message: string]>> = {
  'an operation that cannot tell rows of several depths apart': [
    [
      [
        shifted,
        `%line: f32[1] = reshape %depth.half {dims=[1]} @"block"
    %wide: f32[batch,sequence,1] = expand %line {dims=[batch,sequence,1]} @"block"
    %table: f32[1,4] = reshape %norm {dims=[1,4]} @"block"
    %four: f32[4] = mul %norm, %depth.half @"block"
    %row: f32[1,4] = reshape %four {dims=[1,4]} @"block"
    %two: f32[2,4] = concat %table, %row {axis=0} @"block/layer.0"
    %one: f32[4] = select %two {axis=0, index=1} @"block"
    %scaled: f32[batch,sequence,4] = mul %wide, %one @"block"
    %shifted: f32[batch,sequence,4] = add %x, %scaled @"block"`,
      ],
    ],
    'concat in "block/layer.0" works on %row, which differs by depth',
  ],
  'a loop of other depths than the model has': [
    [],
    'The graph has a loop of 2 depths, where the model says that its block runs 3 times.',
  ],
  'attention over something else than a cache and what is new': [
    [
      [
        heads,
        `%turned: f32[batch,1,past+sequence,2] = add %keys, %keys @"block/layer.0"
    ${heads.replace('%keys', '%turned')}`,
      ],
    ],
    'The attention in "block/layer.0" is over %turned f32[batch,1,past+sequence,2] and %values',
  ],
  'a cache that something else reads, too': [
    [
      [
        chosen,
        `%sum: f32[batch,1,past,1] = reduce_sum %past.key {axis=3, keep=true} @"block"
    %total: f32[batch,1,1,1] = reduce_sum %sum {axis=2, keep=true} @"block"
    %one: f32[batch,1,1] = reshape %total {dims=[batch,1,1]} @"block"
    %more: f32[batch,sequence,4] = add %shifted, %one @"block"
    %chosen: f32[batch,sequence,4] = where %depth.even, %more, %x @"block"`,
      ],
    ],
    '%past.key, which has rows of its own at every depth, is read other than as a cache.',
  ],
  'a loop that carries more than the hidden state': [
    [
      ['%end: f32[batch,sequence,4],', '%end: f32[batch,sequence,4],\n  %end.two: f32[batch,sequence,4],'],
      ['= loop %start, ', '= loop %start, %start, '],
      ['carried=1', 'carried=2'],
      ['    %x: f32[batch,sequence,4],', '    %x: f32[batch,sequence,4],\n    %y: f32[batch,sequence,4],'],
      ['return %next, %keys', 'return %next, %y, %keys'],
    ],
    'The loop carries %start, %start; a step carries one hidden state.',
  ],
  'logits that need what the loop collects': [
    [
      [
        '%logits: f32[batch,sequence,8] = linear %end.norm, %embed @"lm_head"',
        `%last: f32[batch,1,past+sequence,2] = select %all.keys {axis=0, index=1} @"lm_head"
  %new: f32[batch,1,sequence,2] = slice %last {axis=2, start=past, end=past+sequence} @"lm_head"
  %new.rows: f32[batch,sequence,2] = reshape %new {dims=[batch,sequence,2]} @"lm_head"
  %wider: f32[batch,sequence,6] = concat %end.norm, %new.rows {axis=2} @"lm_head"
  %narrow: f32[batch,sequence,4] = slice %wider {axis=2, start=2, end=6} @"lm_head"
  %logits: f32[batch,sequence,8] = linear %narrow, %embed @"lm_head"`,
      ],
    ],
    'the loop of "block" collects',
  ],
  'an input that no step has': [
    [
      ['%input_ids: i64[batch,sequence],', '%input_ids: i64[batch,sequence],\n  %segment: i64[batch,sequence],'],
      ['gather %embed, %input_ids', 'gather %embed, %segment'],
    ],
    '%segment is read, which a step is not given.',
  ],
};

test.each(Object.entries(refusals))('%s is refused, by name', (title, [changes, message]) => {
  const expected = title.includes('other depths') ? { ...layers, loops: 3 } : layers;
  const pass = depthBatch({ layers: expected, pageSize: 16, groups: 2, confidence: 'top1' });
  const result = runPasses(changed(changes), (graph, run) => run(pass, graph));
  expect(result).toMatchObject({
    outcome: 'refused',
    pass: 'depth-batch',
    problems: [expect.stringContaining(message)],
  });
});

test('keys that come from more than one hidden state cannot be propagated', () => {
  const two = `%other: f32[batch,sequence,4] = rms_norm %x, %norm {epsilon=0.01} @"block"
    %both: f32[batch,sequence,4] = add %normed, %other @"block"
    %k.rows: f32[batch,sequence,2] = linear %both, %k @`;
  const graph = changed([['%k.rows: f32[batch,sequence,2] = linear %normed, %k @', two]]);
  expect(runPasses(graph, (source, run) => run(propagateExits(layers), source))).toMatchObject({
    outcome: 'refused',
    problems: [
      expect.stringMatching(/^%k\.heads f32.* comes from %x and %chosen, where one hidden state was expected/),
    ],
  });
});
