import { describe, expect, test } from 'vitest';
import type { Scenario, SimulatedBatching } from '../../simulate/scenario.ts';
import { stepDuration } from '../../simulate/schedule/simulated-step.ts';
import { simulatedSteps } from '../../simulate/schedule/simulated-steps.ts';
import { simulateBatching } from '../../simulate/simulate-batching.ts';
import { stepCosts } from '../../simulate/step-costs.ts';
import { scenarioOf } from './scenario.ts';

/**
 * A step as a word for each row: the request's letter and the depth, small while nothing waits, `*` behind a row that
 * gave a token and `!` behind the one that ended its sequence; `p` in front of a prompt's row, `(…)` around idle rows,
 * `[…]` around those that run on for their keys and values.
 */
function drawn(scenario: Scenario, batching: SimulatedBatching): readonly string[] {
  return [...simulatedSteps(scenario, batching)].map(({ rows }) =>
    rows
      .map(({ request, depth, role, outcome }) => {
        const word = `${'abcdef'[request]}${depth}`;
        const mark = { stays: '', leaves: '*', ends: '!' }[outcome];
        if (role === 'prompt') return `p${word}${mark}`;
        return role === 'idle' ? `(${word})` : role === 'background' ? `[${word}]` : `${word}${mark}`;
      })
      .join(' '),
  );
}

// Three sequences for two rows: a leaves late, b early, and c waits for a place.
const exits = [[3, 3], [1, 1, 2], [2]];

describe('three sequences, two rows', () => {
  test('depth-wise: a row that left goes on at once, and a place is taken in the next step', () => {
    expect(drawn(scenarioOf(exits), 'depth-wise')).toEqual([
      'a0 b0*',
      'a1 b0*',
      'a2* b0',
      'a0 b1!',
      'a1 c0',
      'a2! c1!',
    ]);
  });

  test('sequence-wise: every row runs until the deepest has left', () => {
    expect(drawn(scenarioOf(exits), 'sequence-wise')).toEqual([
      'a0 b0*',
      'a1 (b1)',
      'a2* (b2)',
      'a0 b0*',
      'a1 (b1)',
      'a2! (b2)',
      'b0 c0',
      'b1! c1!',
    ]);
  });

  test('sequence-wise-shrink: rows that left are not run', () => {
    expect(drawn(scenarioOf(exits), 'sequence-wise-shrink')).toEqual([
      'a0 b0*',
      'a1',
      'a2*',
      'a0 b0*',
      'a1',
      'a2!',
      'b0 c0',
      'b1! c1!',
    ]);
  });

  test('full depth: nobody leaves early', () => {
    expect(drawn(scenarioOf(exits), 'full-depth')).toEqual([
      'a0 b0',
      'a1 b1',
      'a2* b2*',
      'a0 b0',
      'a1 b1',
      'a2! b2*',
      'b0 c0',
      'b1 c1',
      'b2! c2!',
    ]);
  });

  test('vanilla: a batch ends with its longest sequence, and c waits for that', () => {
    expect(drawn(scenarioOf(exits), 'vanilla')).toEqual([
      'a0 b0',
      'a1 b1',
      'a2* b2*',
      'a0 b0',
      'a1 b1',
      'a2! b2*',
      '(a0) b0',
      '(a1) b1',
      '(a2) b2!',
      'c0',
      'c1',
      'c2!',
    ]);
  });
});

describe('KV policy complete', () => {
  test('depth-wise, a token runs on behind the next one, and the next one waits where it has not been', () => {
    const scenario = scenarioOf([[1, 3, 1]], { kvPolicy: 'complete', maxRows: 4, maxSequences: 1 });
    expect(drawn(scenario, 'depth-wise')).toEqual(['a0*', '[a1] a0', '[a2] a1', 'a2*', 'a0!']);
    const narrow = scenarioOf([[1, 3, 1]], { kvPolicy: 'complete', maxRows: 1, maxSequences: 1 });
    expect(drawn(narrow, 'depth-wise')).toEqual(['a0*', '[a1]', '[a2]', 'a0', 'a1', 'a2*', 'a0!']);
  });

  test('sequence-wise, tokens run every loop, but for the last of a sequence', () => {
    const scenario = scenarioOf([[1, 1], [2]], { kvPolicy: 'complete' });
    expect(drawn(scenario, 'sequence-wise')).toEqual(['a0* b0', '[a1] b1!', '[a2] (b2)', 'a0!']);
    expect(drawn(scenario, 'sequence-wise-shrink')).toEqual(['a0* b0', '[a1] b1!', '[a2]', 'a0!']);
  });
});

describe('more sequences than rows', () => {
  const three = [[2], [1, 1], [1]];
  test.each([
    ['oldest', ['a0 b0*', 'a1! b0!', 'c0!']],
    ['deepest', ['a0 b0*', 'a1! b0!', 'c0!']],
    // Two rows are at depth 0 in the second step, one at depth 1.
    ['fullest', ['a0 b0*', 'b0! c0!', 'a1!']],
  ] as const)('%s first', (rowOrder, steps) => {
    expect(drawn(scenarioOf(three, { rowOrder, maxSequences: 3 }), 'depth-wise')).toEqual(steps);
  });

  test('a younger token that is deeper goes first only where depth counts', () => {
    const costs = stepCosts({ passes: [{ rows: 1, milliseconds: 10 }], prompt: [{ tokens: 1, milliseconds: 10 }] });
    const requests = [
      { arrival: 0, promptTokens: 2, exits: [1] },
      { arrival: 0, promptTokens: 0, exits: [3] },
    ];
    const order = (rowOrder: Scenario['rowOrder']) =>
      drawn(scenarioOf([], { costs, requests, maxRows: 1, rowOrder }), 'depth-wise').slice(5);
    expect(drawn(scenarioOf([], { costs, requests, maxRows: 1 }), 'depth-wise').slice(0, 5)).toEqual([
      'pa0',
      'b0',
      'pa1',
      'b1',
      'pa2*',
    ]);
    expect(order('oldest')).toEqual(['a0!', 'b2!']);
    expect(order('deepest')).toEqual(['b2!', 'a0!']);
  });
});

describe('time', () => {
  const costs = stepCosts({
    passes: [
      { rows: 1, milliseconds: 10 },
      { rows: 3, milliseconds: 30 },
    ],
    heads: [
      { heads: 1, milliseconds: 1 },
      { heads: 3, milliseconds: 3 },
    ],
    propagate: [
      { tokens: 1, milliseconds: 0.25 },
      { tokens: 5, milliseconds: 1.25 },
    ],
    prompt: [
      { tokens: 1, milliseconds: 5 },
      { tokens: 8, milliseconds: 12 },
    ],
    host: 0.5,
  });
  const times = (scenario: Scenario, batching: SimulatedBatching) =>
    [...simulatedSteps(scenario, batching)].map((step) => [step.start, stepDuration(step)]);

  test('a step takes its rows, its heads, its missing keys and values, and the host', () => {
    const scenario = scenarioOf([[1, 2], [2]], { costs, kvPolicy: 'propagate' });
    // The first token of a skips two loops; what ends its sequence leaves nothing that anybody reads.
    expect(times(scenario, 'depth-wise')).toEqual([
      [0, 20 + 1 + 0.5 + 0.5],
      [22, 20 + 1 + 0.5],
      [43.5, 10 + 1 + 0.5],
    ]);
  });

  test('who asks for confidence runs a head for every row at an exit', () => {
    const scenario = scenarioOf([[3], [2]], { costs, decision: 'confidence', exitsAfter: [2] });
    const heads = (batching: SimulatedBatching) => [...simulatedSteps(scenario, batching)].map((step) => step.heads);
    expect(heads('depth-wise')).toEqual([0, 2, 1]);
    expect(heads('sequence-wise')).toEqual([0, 2, 1]);
    expect(heads('full-depth')).toEqual([0, 0, 2]);
  });

  test('prompts run in chunks that follow each other, share a step where they fit, and take turns with tokens', () => {
    const requests = [
      { arrival: 0, promptTokens: 35, exits: [1, 1] },
      { arrival: 0, promptTokens: 2, exits: [] },
    ];
    const scenario = scenarioOf([], { costs, requests, prefillChunk: 32, loops: 2, exitsAfter: [1] });
    // A chunk of 32 leaves no room; those of 3 and 2, padded to 16, fit together.
    const steps = ['pa0', 'pa1', 'pa0 pb0', 'pa1* pb1!', 'a0*', 'a0!'];
    expect(drawn(scenario, 'depth-wise')).toEqual(steps);
    expect([...simulatedSteps(scenario, 'depth-wise')].map(({ pass }) => pass)).toEqual([36, 36, 10, 10, 10, 10]);
    const turns = [
      { arrival: 0, promptTokens: 2, exits: [1, 1, 1] },
      { arrival: 23, promptTokens: 2, exits: [1] },
    ];
    const later = { ...scenario, requests: turns };
    expect(drawn(later, 'depth-wise')).toEqual(['pa0', 'pa1*', 'a0*', 'pb0', 'a0*', 'pb1*', 'a0! b0!']);
    // A token waits for the prompt of its whole batch.
    const together = { ...later, requests: turns.map((each) => ({ ...each, arrival: 0 })), prefillChunk: 2 };
    expect(drawn(together, 'vanilla')).toEqual([
      'pa0',
      'pa1*',
      'pb0',
      'pb1*',
      'a0 b0',
      'a1* b1!',
      '(b0) a0',
      '(b1) a1*',
      '(b0) a0',
      '(b1) a1!',
    ]);
  });

  test('a prompt of one token, and all prompts where depths share a cache, run among the tokens', () => {
    const requests = [
      { arrival: 0, promptTokens: 2, exits: [1] },
      { arrival: 0, promptTokens: 1, exits: [2] },
    ];
    const scenario = scenarioOf([], { costs, requests, loops: 2, exitsAfter: [1], kvPolicy: 'shared' });
    expect(drawn(scenario, 'depth-wise')).toEqual(['pa0 pb0', 'pa1 pb1*', 'pa0 b0', 'pa1* b1!', 'a0!']);
  });

  test('waiting times count from the arrival, and waiting for somebody to arrive is told apart', async () => {
    const requests = [
      { arrival: 100, promptTokens: 0, exits: [1, 1] },
      { arrival: 105, promptTokens: 0, exits: [1] },
    ];
    const { timeToFirstToken, latency, breakdown, milliseconds } = (await simulateBatching(
      scenarioOf([], { costs, requests }),
      'depth-wise',
    ))!;
    // Steps: [100, 111.5], then both sequences until 134.0.
    expect(timeToFirstToken).toMatchObject({ p50: 11.5, max: 29, mean: 20.25 });
    expect(latency).toMatchObject({ p50: 29, max: 34 });
    expect(milliseconds).toBe(134);
    expect(breakdown).toEqual({ block: 30, prompt: 0, head: 3, padding: 0, cache: 0, host: 1, wait: 100 });
  });

  test('nothing runs until somebody arrives', () => {
    const requests = [
      { arrival: 100, promptTokens: 0, exits: [1] },
      { arrival: 105, promptTokens: 0, exits: [1] },
      { arrival: 900, promptTokens: 0, exits: [1] },
    ];
    const starts = [100, 111.5, 900];
    for (const batching of ['depth-wise', 'sequence-wise', 'sequence-wise-shrink'] as const) {
      expect(times(scenarioOf([], { costs, requests }), batching).map(([start]) => start)).toEqual(starts);
    }
  });
});
