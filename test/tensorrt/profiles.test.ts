import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { GraphTensor } from '../../files/manifest.ts';
import { bindSizes } from '../../ir/interpret/bind-sizes.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { expectedRows } from '../../simulate/expected-rows.ts';
import type { Profile } from '../../targets/tensorrt/engine-plan.ts';
import { profileProblems } from '../../targets/tensorrt/profiles/check-profiles.ts';
import { explainProfiles } from '../../targets/tensorrt/profiles/explain.ts';
import { planEngines } from '../../targets/tensorrt/profiles/plan-engines.ts';
import type { ProfilePolicy } from '../../targets/tensorrt/profiles/policy.ts';
import { steadyState } from '../../targets/tensorrt/profiles/steady-state.ts';
import { plannedCases, policies, policyOf, propagateGraph, stepGraph, unrolledGraph } from './profiles-graphs.ts';

const selectors = ['min', 'opt', 'max'] as const;

/** The names' sizes where inputs have the shapes of a profile, as the interpreter finds them; or what does not fit. */
function sizesAt(inputs: readonly GraphTensor[], profile: Profile, selector: (typeof selectors)[number]) {
  const values = inputs.map(({ name, dtype, dims }) => ({ name, type: tensor(dtype, dims) }));
  const tensors = inputs.map(({ name, dtype, dims }) => {
    const shape = profile.inputs[name]?.[selector] ?? dims.map(Number);
    return [name, { dtype, shape, data: new Float64Array(0) }] as const;
  });
  return bindSizes(values, new Map(tensors));
}

describe('profiles that follow from a policy', () => {
  test('are sizes with which a graph can run, at min, opt and max alike', () => {
    fc.assert(
      fc.property(plannedCases, ({ policy, form, graphs, separate }) => {
        const engines = planEngines({ graphs, form, policy, separate });
        for (const { graph, profiles } of engines) {
          const { inputs } = graphs.find(({ file }) => file === graph)!;
          expect(profileProblems(inputs, profiles)).toEqual([]);
          for (const profile of profiles) {
            const [min, opt, max] = selectors.map((selector) => {
              const sizes = sizesAt(inputs, profile, selector);
              // A sentence on what does not fit.
              if (typeof sizes === 'string') throw new Error(`${graph} ${profile.name} ${selector}: ${sizes}`);
              return sizes;
            });
            for (const [name, size] of max!) {
              expect([min!.get(name)! <= opt!.get(name)!, opt!.get(name)! <= size], name).toEqual([true, true]);
              expect(min!.get(name) === 0 ? `0 ${name} in ${profile.name}` : '0 past in prefill').toBe(
                '0 past in prefill',
              );
              expect(size).toBeLessThan(2 ** 31);
            }
            for (const sizes of [min!, opt!, max!]) {
              const rows = profile.inputs.input_ids && sizesOfRows(sizes);
              if (rows === undefined) continue;
              const tokens = sizes.get('tokens') ?? sizes.get('sequence')!;
              expect(rows).toBeLessThanOrEqual(mostRows(policy, inputs));
              expect(sizes.get('heads') ?? 1).toBeLessThanOrEqual(rows * tokens);
              expect(sizes.get('entering') ?? 1).toBeLessThanOrEqual(rows);
              expect(sizes.get('leaving') ?? 1).toBeLessThanOrEqual(rows);
              expect(tokens).toBeLessThanOrEqual(policy.prefillChunk);
            }
          }
        }
      }),
      { numRuns: 250 },
    );
  });

  /** With a prelude a step into which no row enters has an idle row more. */
  function mostRows({ maxRows }: ProfilePolicy, inputs: readonly GraphTensor[]): number {
    return inputs.some(({ name }) => name === 'entering_rows') ? maxRows + 1 : maxRows;
  }

  /** Rows of a step, or of a batch. */
  function sizesOfRows(sizes: ReadonlyMap<string, number>): number {
    return [...sizes].reduce((sum, [name, size]) => sum + (/^(rows|rows_\d+|batch)$/.test(name) ? size : 0), 0);
  }

  test('are tuned for the steady state, and end where the policy does', () => {
    fc.assert(
      fc.property(plannedCases, ({ policy, form, graphs }) => {
        const [first] = planEngines({ graphs, form, policy, separate: false });
        const { inputs } = graphs[0]!;
        const [decode] = first!.profiles;
        const prefill = first!.profiles.at(-1)!;
        const at = (profile: Profile, selector: (typeof selectors)[number]) =>
          sizesAt(inputs, profile, selector) as ReadonlyMap<string, number>;
        expect(sizesOfRows(at(decode!, 'opt'))).toBe(policy.tuneFor.rows);
        expect(sizesOfRows(at(decode!, 'max'))).toBe(mostRows(policy, inputs));
        if (form === 'unrolled') {
          expect(at(prefill, 'max').get('past')).toBe(Math.max(1, policy.maxContext - 1));
          return;
        }
        const pages = Math.ceil(policy.maxContext / policy.pageSize);
        for (const { inputs: sized } of first!.profiles) {
          for (const { name, dims } of inputs) {
            // Every place of every slot's pages, at every depth, and page 0; prelude and coda have one depth.
            const depths = dims[0] === 'page_count' ? policy.loops : 1;
            if (/_pages\./.test(name)) expect(sized[name]!.max[0]).toBe(policy.maxRows * depths * pages + 1);
            if (/page_table/.test(name)) expect(sized[name]!.max[1]).toBe(pages);
          }
        }
        // Whatever number of rows is dealt evenly fits: the largest group first.
        const dealt = inputs.flatMap(({ name }) => (/^page_table/.test(name) ? [decode!.inputs[name]!.max[0]!] : []));
        expect(Math.max(...dealt) - Math.min(...dealt)).toBeLessThanOrEqual(1);
        expect([...dealt].sort((a, b) => b - a)).toEqual(dealt);
      }),
      { numRuns: 100 },
    );
  });

  test('ask the head of as many rows as stand at an exit', () => {
    fc.assert(
      fc.property(policies, (policy) => {
        const { exits, maxRows } = policy;
        // By depth, from whoever simulates such steps.
        const { byDepth } = expectedRows({ slots: maxRows, exits }).steps[0]!;
        const atExits = byDepth.reduce((sum, rows, depth) => sum + (exits[depth]! > 0 ? rows : 0), 0);
        const { asking, leaving } = steadyState(policy);
        expect(asking).toBeGreaterThanOrEqual(leaving);
        expect(Math.abs(asking - Math.max(leaving, atExits))).toBeLessThanOrEqual(0.5 + 1e-9);
      }),
    );
  });

  const kjv = policyOf({
    maxRows: 16,
    smallRows: 4,
    maxContext: 1024,
    prefillChunk: 128,
    pageSize: 64,
    groups: 1,
    exits: [0.5, 0.3, 0.2],
  });
  const step = stepGraph({ prelude: 1, block: 2, coda: 0, groups: 1, pageSize: 64 });

  test('of a step, in numbers', () => {
    const [engine] = planEngines({ graphs: [step], form: 'depth-batched', policy: kjv, separate: false });
    expect(engine!.plan).toBe('step.all.plan');
    const told = engine!.profiles.map(({ name, inputs }) => [
      name,
      ...[
        'input_ids',
        'page_table',
        'boundary_page_table',
        'entering_rows',
        'head_rows',
        'key_pages.0',
        'key_pages.1',
      ].map((input) => selectors.map((selector) => inputs[input]![selector].join('x')).join(' ')),
    ]);
    // 16 rows run 1.7 loops on average, so 16 / 1.7 enter; the longest of 16 contexts is 16/17 of 1024 positions; with an
    // exit behind every loop, every row asks. 16 slots have 16 pages each at 3 depths.
    // With a prelude a row more may have to idle.
    expect(told).toEqual([
      [
        'decode',
        '1x1 16x1 17x1',
        '1x1 16x16 17x16',
        '1x1 16x16 17x16',
        '1 9 17',
        '1 16 17',
        '2x2x64x8 257x2x64x8 257x2x64x8',
        '2x2x64x8 769x2x64x8 769x2x64x8',
      ],
      [
        'small',
        '1x1 1x1 5x1',
        '1x1 1x8 5x16',
        '1x1 1x8 5x16',
        '1 1 5',
        '1 1 5',
        '2x2x64x8 257x2x64x8 257x2x64x8',
        '2x2x64x8 769x2x64x8 769x2x64x8',
      ],
      [
        'prefill',
        '1x1 1x128 5x128',
        '1x1 1x8 5x16',
        '1x1 1x8 5x16',
        '1 1 5',
        '1 1 128',
        '2x2x64x8 257x2x64x8 257x2x64x8',
        '2x2x64x8 769x2x64x8 769x2x64x8',
      ],
    ]);
  });

  test('one engine for each on request; one that is no other than another is left out', () => {
    const plans = (policy: typeof kjv, separate: boolean) =>
      planEngines({ graphs: [step, propagateGraph], form: 'depth-batched', policy, separate }).map(
        ({ plan, profiles }) => `${plan}: ${profiles.map(({ name }) => name).join(' ')}`,
      );
    expect(plans(kjv, false)).toEqual(['step.all.plan: decode small prefill', 'propagate.all.plan: decode small']);
    expect(plans(kjv, true)).toEqual([
      'step.decode.plan: decode',
      'step.small.plan: small',
      'step.prefill.plan: prefill',
      'propagate.decode.plan: decode',
      'propagate.small.plan: small',
    ]);
    // One row a step is one row of a small step, and a chunk of one token is a step.
    const one = policyOf({ ...kjv, maxRows: 1, smallRows: 1, prefillChunk: 1 });
    expect(plans(one, false)).toEqual(['step.all.plan: decode', 'propagate.all.plan: decode']);
  });

  test('are explained from slots and exits to what they are tuned for', () => {
    const engines = planEngines({
      graphs: [step, propagateGraph],
      form: 'depth-batched',
      policy: kjv,
      separate: false,
    });
    expect(explainProfiles(kjv, engines).join('\n')).toMatchInlineSnapshot(`
      "Slots: 16. Tokens leave 50 % behind loop 1, 30 % behind loop 2, 20 % behind loop 3: after 1.7 of 3 loops on average.
      Steady state: 16 rows a step, one a slot and at any depth; of these 9 enter and 9 leave.
      Heads: each row at an exit is asked whether it leaves: 16 of 16. Up to all tokens of a prompt may ask, as in rtc verify.
      Prelude: runs for the rows that enter, tuned for 9; where none does, for an idle row more.
      Context: 1024 positions are 16 pages of 64; the longest of 16 rows has 16/17 of it on average.
      Pages: 16 slots x 3 depths x 16 and page 0: 769; for prelude and coda 16 x 16 and page 0: 257.
      Propagation: 9 leave and skip 1.3 depths on average: tuned for 12 states, at most 32.
      step.all.plan, from step.onnx:
        0 decode: input_ids 1x1 to 17x1, tuned for 16x1; page_table 1x1 to 17x16, tuned for 16x16; entering_rows 1 to 17, tuned for 9; head_rows 1 to 17, tuned for 16
        1 small: input_ids 1x1 to 5x1, tuned for 1x1; page_table 1x1 to 5x16, tuned for 1x8; entering_rows 1 to 5, tuned for 1; head_rows 1 to 5, tuned for 1
        2 prefill: input_ids 1x1 to 5x128, tuned for 1x128; page_table 1x1 to 5x16, tuned for 1x8; entering_rows 1 to 5, tuned for 1; head_rows 1 to 128, tuned for 1
      propagate.all.plan, from propagate.onnx:
        0 decode: position_ids 1 to 32, tuned for 12
        1 small: position_ids 1 to 8, tuned for 1
      All pages hold 3.7 million numbers: 7.4 MB of 16 bits, 14.7 MB of 32."
    `);
    const idle = policyOf({ ...kjv, exits: [0, 0, 1], maxRows: 64, maxContext: 2 ** 20 });
    const large = planEngines({ graphs: [step], form: 'depth-batched', policy: idle, separate: false });
    const told = explainProfiles(idle, large);
    expect(told[0]).toBe('Slots: 64. Tokens leave behind loop 3, as no share is told to leave earlier.');
    expect(told.at(-1)).toBe(
      'key_pages.1 and 3 other inputs have more than 2^31 - 1 numbers at max, which layers of TensorRT before 10.10 refuse, and some of later ones.',
    );
    const unrolled = planEngines({ graphs: [unrolledGraph(2)], form: 'unrolled', policy: kjv, separate: true });
    expect(explainProfiles(kjv, unrolled).join('\n')).toMatchInlineSnapshot(`
      "Slots: 16. Every token runs all loops: a decoding step has 16 rows of one token.
      Context: 1024 positions; the longest of 16 rows has 16/17 of it on average, and all are padded to it.
      model.decode.plan, from model.onnx:
        0 decode: input_ids 1x1 to 16x1; past 1 to 1023, tuned for 963
      model.small.plan, from model.onnx:
        0 small: input_ids 1x1 to 4x1, tuned for 1x1; past 1 to 1023, tuned for 512
      model.prefill.plan, from model.onnx:
        0 prefill: input_ids 1x1 to 4x128, tuned for 1x128; past 0 to 1023, tuned for 512
      past is 0 at least in prefill, as a prompt begins behind nothing."
    `);
  });
});

describe('profileProblems', () => {
  const policy = policyOf({
    maxRows: 6,
    smallRows: 2,
    maxContext: 100,
    prefillChunk: 10,
    pageSize: 16,
    groups: 2,
    exits: [0.5, 0.5],
  });
  const { inputs } = stepGraph({ prelude: 1, block: 1, coda: 1, groups: 2, pageSize: 16 });
  const [engine] = planEngines({
    graphs: [{ file: 'step.onnx', inputs }],
    form: 'depth-batched',
    policy,
    separate: false,
  });
  const decode = engine!.profiles[0]!;
  const problemsWith = (changes: Profile['inputs']) =>
    profileProblems(inputs, [{ ...decode, inputs: { ...decode.inputs, ...changes } }]);
  const changed = (input: string, selector: (typeof selectors)[number], axis: number, size: number) => {
    const range = decode.inputs[input]!;
    return problemsWith({ [input]: { ...range, [selector]: range[selector].with(axis, size) } });
  };

  test.each([
    ['a name with two sizes', 'depth', 'opt', 0, 5, 'rows_0+rows_1 of "depth" is 5, and its parts make 6'],
    ['a sum that does not come out', 'page_table.1', 'max', 0, 4, 'is 7, and its parts make 8'],
    ['one name, two inputs', 'key_pages.1', 'max', 0, 4, 'which does not grow'],
    ['nothing of something', 'head_rows', 'min', 0, 0, 'size 0 of "head_rows" (heads) is 0 at min'],
    ['half of something', 'head_rows', 'opt', 0, 1.5, 'is 1.5 at opt'],
    ['a range that does not grow', 'head_rows', 'opt', 0, 8, 'goes from 1 over 8 to 7, which does not grow'],
    ['more than 31 bits', 'key_pages.1', 'max', 0, 2 ** 31, 'is 2147483648 at max, and trtexec reads sizes up to'],
    ['more heads than tokens', 'head_rows', 'max', 0, 8, 'at max, heads is 8, of 7 rows of 1 tokens'],
    ['more rows that enter than there are', 'entering_rows', 'max', 0, 9, 'at max, entering is 9, of 7 rows'],
    ['more rows that leave than there are', 'leaving_rows', 'max', 0, 9, 'at max, leaving is 9, of 7 rows'],
    ['a fixed size that differs', 'hidden', 'max', 2, 25, 'size 2 of "hidden" (24) is 25 at max'],
    [
      'pages of keys and of values',
      'value_pages.1',
      'opt',
      0,
      8,
      'page_count is 85 in "key_pages.1" and 8 in "value_pages.1"',
    ],
  ] as const)('finds %s', (_, input, selector, axis, size, message) => {
    expect(changed(input, selector, axis, size).join('\n')).toContain(message);
  });

  test('finds inputs that are missing, too many, or of another rank, and names that are there twice', () => {
    const { depth: _, ...rest } = decode.inputs;
    expect(profileProblems(inputs, [{ ...decode, inputs: rest }])).toEqual([
      'Profile "decode": the input "depth" is missing.',
    ]);
    expect(problemsWith({ other: { min: [1], opt: [1], max: [1] } })).toEqual([
      'Profile "decode": "other" is no input of the graph that has a size to choose.',
    ]);
    expect(problemsWith({ depth: { min: [2, 1], opt: [6], max: [6] } })).toEqual([
      'Profile "decode": "depth" has 1 sizes, and min gives 2.',
    ]);
    expect(profileProblems(inputs, [decode, decode])).toEqual(['Two profiles have one name: decode, decode.']);
    expect(profileProblems(inputs, [])).toEqual(['There is no profile.']);
  });

  test('finds a policy whose pages trtexec could not count', () => {
    const large = policyOf({ ...policy, maxRows: 60_000, maxContext: 2 ** 20, groups: 1 });
    const graph = stepGraph({ prelude: 0, block: 1, coda: 0, groups: 1, pageSize: 16 });
    const [engine] = planEngines({ graphs: [graph], form: 'depth-batched', policy: large, separate: false });
    const problems = profileProblems(graph.inputs, engine!.profiles);
    expect(problems[0]).toContain('size 0 of "key_pages.0" (page_count) is 7864320001 at opt');
  });
});
