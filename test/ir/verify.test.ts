import { describe, expect, test } from 'vitest';
import { graphBuilder } from '../../ir/builder.ts';
import type { Graph, Op, Value } from '../../ir/graph.ts';
import { parseGraph } from '../../ir/parse.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { literal, type WeightExpr } from '../../ir/weights.ts';

function problemsOf(text: string): readonly string[] {
  const result = parseGraph(text);
  if (!result.ok) expect.fail(JSON.stringify(result.problems));
  return verifyGraph(result.graph);
}

const one = (line: string) => `graph(%x: f32[2,n], %b: bool[], %i: i64[]) {\n  ${line}\n  return %x\n}\n`;
const loop = (attrs: string, parameters: string, result: string) =>
  one(`%l: f32[2,n] = loop %x {${attrs}, limited=false, stops=false} (${parameters}) {\n    return ${result}\n  }`);

describe('types', () => {
  test('that fit leave nothing to say', () => {
    expect(problemsOf(one('%y: f32[2,n] = neg %x'))).toEqual([]);
    expect(problemsOf(loop('loops=3, carried=1, each=0', '%d: i64[], %h: f32[2,n]', '%h'))).toEqual([]);
  });

  test.each([
    [one('%y: f32[n,2] = neg %x'), 'neg %y makes f32[2,n], but %y is f32[n,2]'],
    [one('%y: f32[2,n] = neg %b @"layer"'), 'neg %y in "layer" takes a float type, not bool[]'],
    [one('%y: f32[2,n], %z: f32[2,n] = neg %x'), 'neg %y, %z has 2 results, not 1'],
    [one('%y: f32[2,n] = add %x'), 'add %y has 1 operands, not a, b'],
    [one('%y: f32[2,n] = neg %x, %x'), 'neg %y has 2 operands, not x'],
    [one('%y: f32[2,n] = reshape %x {dims=[n,-2]}'), 'reshape %y makes -2*n elements of 2*n'],
    [one('%y: f32[-1] = constant {dtype=f32, dims=[-1], values=[]}'), '%y has a dim -1'],
    [loop('loops=3, carried=1, each=0', '%d: i64[]', '%x'), 'loop %l has a body of 1 parameters'],
    [loop('loops=3, carried=0, each=1', '%d: i64[], %e: f32[n]', ''), 'loop %l is given f32[2,n] for 3 depths'],
    [loop('loops=2, carried=0, each=1', '%d: i64[], %e: f32[n]', '%e'), undefined],
    [
      loop('loops=3, carried=1, each=0', '%d: i64[], %h: f32[2,n]', ''),
      'carries f32[2,n] but its body returns nothing',
    ],
    [
      one(
        '%l: f32[2,n] = loop %x, %b {loops=3, carried=1, each=0, limited=true, stops=false} (%d: i64[], %h: f32[2,n]) {\n    return %h\n  }',
      ),
      'is limited by something that is no i64 []',
    ],
    [
      one(
        '%l: f32[2,n] = loop %x {loops=3, carried=1, each=0, limited=false, stops=true} (%d: i64[], %h: f32[2,n]) {\n    return %i, %h\n  }',
      ),
      'stops by something that is no bool []',
    ],
  ])('%j', (text, problem) => {
    if (problem === undefined) expect(problemsOf(text)).toEqual([]);
    else expect(problemsOf(text)).toContainEqual(expect.stringContaining(problem));
  });
});

describe('what the text form cannot even say', () => {
  const x: Value = { name: 'x', type: tensor('f32', [2]) };
  const y: Value = { name: 'y', type: tensor('f32', [2]) };
  const z: Value = { name: 'z', type: tensor('f32', [2]) };
  const op = (result: Value, operand: Value, more: Partial<Record<keyof Op, unknown>> = {}): Op =>
    ({ kind: 'neg', operands: [operand], attrs: {}, results: [result], scope: '', body: undefined, ...more }) as Op;
  const graph = (more: Partial<Graph>): Graph => ({
    name: '',
    stage: 'unrolled',
    inputs: [x],
    weights: [],
    ops: [],
    outputs: [],
    ...more,
  });
  const inLoop = (body: readonly Op[]): Op =>
    op(z, x, {
      kind: 'loop',
      attrs: { loops: 2, carried: 1, each: 0, limited: false, stops: false },
      body: {
        parameters: [
          { name: 'd', type: tensor('i64', []) },
          { name: 'h', type: x.type },
        ],
        ops: body,
        results: [x],
      },
    });

  test.each<[string, Graph, string]>([
    ['use before making', graph({ ops: [op(z, y), op(y, x)] }), 'neg %z uses %y, which is not made before'],
    [
      'use of an inner value',
      graph({ ops: [inLoop([op(y, x)])], outputs: [{ name: 'y', value: y }] }),
      'the output "y" uses %y, which is made inside a loop',
    ],
    ['an impostor', graph({ ops: [op(y, { ...x })] }), 'neg %y uses %x, which is not the value of that name'],
    ['the same name', graph({ ops: [op({ ...x }, x)] }), 'two values are called %x'],
    ['the same name inside', graph({ ops: [op(y, x), inLoop([op({ ...y }, x)])] }), 'two values are called %y'],
    ['the same value', graph({ ops: [op(y, x), op(y, x)] }), '%y is made twice'],
    [
      'outputs of one name',
      graph({
        outputs: [
          { name: 'o', value: x },
          { name: 'o', value: x },
        ],
      }),
      'two outputs are called "o"',
    ],
    [
      'dims of another spelling',
      graph({ inputs: [{ name: 'x', type: tensor('f32', ['b+a']) }] }),
      '%x has a dim "b+a", which is not in canonical form',
    ],
    [
      'no element type',
      graph({ inputs: [{ name: 'x', type: { dtype: 'f31' as 'f32', dims: [] } }] }),
      '%x has an element type f31',
    ],
    ['no operation', graph({ ops: [op(y, x, { kind: 'negate' })] }), 'negate %y is no operation'],
    [
      'an attribute too many',
      graph({ ops: [op(y, x, { attrs: { axis: 1 } })] }),
      'neg %y has an attribute axis that neg does not know',
    ],
    ['an attribute too few', graph({ ops: [op(y, x, { kind: 'softmax' })] }), 'softmax %y has no attribute axis'],
    [
      'an attribute of another kind',
      graph({ ops: [op(y, x, { kind: 'softmax', attrs: { axis: 0.5 } })] }),
      'softmax %y has axis=0.5, which is not an integer',
    ],
    [
      'a choice that is none',
      graph({ ops: [op(y, x, { kind: 'gelu', attrs: { form: 'exact' } })] }),
      'which is not one of erf, tanh, sigmoid',
    ],
    [
      'a body too many',
      graph({ ops: [op(y, x, { body: { parameters: [], ops: [], results: [] } })] }),
      'neg %y has a body',
    ],
  ])('%s', (_, wrong, problem) => {
    expect(verifyGraph(wrong)).toContainEqual(expect.stringContaining(problem));
  });

  test('every attribute kind has its check', () => {
    const wrong: [string, Record<string, unknown>][] = [
      ['constant', { dtype: 'f31', dims: [0.5], values: ['a'] }],
      ['rms_norm', { epsilon: 'small' }],
      ['reduce_sum', { axis: 0, keep: 1 }],
      ['size', { of: 'b+a' }],
      ['reshape', { dims: 'batch' }],
    ];
    const problems = wrong.flatMap(([kind, attrs]) => verifyGraph(graph({ ops: [op(y, x, { kind, attrs })] })));
    expect(problems.map((p) => p.slice(p.indexOf(' has ') + 5))).toEqual([
      'dtype="f31", which is not an element type',
      'dims=[0.5], which is not a list of integers',
      'values=["a"], which is not a list of numbers',
      'epsilon="small", which is not a number',
      'keep=1, which is not true or false',
      'of="b+a", which is not a dim',
      'dims="batch", which is not a list of dims',
    ]);
  });
});

describe('weights', () => {
  const w = literal('f32', [2, 3], [1, 2, 3, 4, 5, 6]);
  const file: WeightExpr = { kind: 'file', file: 'm', tensor: 't', dtype: 'bf16', dims: [2, 3], offset: 0, length: 12 };

  function problems(expr: WeightExpr, dims: readonly number[], dtype: 'f32' | 'bf16' = 'f32'): readonly string[] {
    const value: Value = { name: 'w', type: tensor(dtype, dims) };
    const b = graphBuilder('');
    return verifyGraph({ ...b.finish('unrolled'), weights: [{ value, expr }] });
  }

  test.each<[WeightExpr, readonly number[]]>([
    [w, [2, 3]],
    [{ kind: 'cast', of: file, to: 'f32' }, [2, 3]],
    [{ kind: 'transpose', of: w, perm: [1, 0] }, [3, 2]],
    [{ kind: 'concat', axis: 0, of: [w, w] }, [4, 3]],
    [{ kind: 'stack', of: [w, literal('f32', [1, 4], [1, 2, 3, 4])] }, [2, 2, 4]],
    [
      { kind: 'merge', base: w, a: literal('f32', [1, 3], [1, 2, 3]), b: literal('f32', [2, 1], [1, 2]), scale: 1 },
      [2, 3],
    ],
  ])('%j is valid', (expr, dims) => {
    expect(problems(expr, dims)).toEqual([]);
  });

  test.each<[WeightExpr, string]>([
    [w, 'the weight %w is f32[9], but its expression gives f32[2,3]'],
    [{ ...file, length: 24 } as WeightExpr, 'reads 24 bytes for bf16[2,3]'],
    [{ ...file, offset: -1 } as WeightExpr, 'reads from byte -1'],
    [{ ...w, values: [1] }, 'has 1 values for f32[2,3]'],
    [{ kind: 'transpose', of: w, perm: [0, 0] }, 'transposes f32[2,3] by [0,0]'],
    [{ kind: 'concat', axis: 2, of: [w] }, 'joins f32[2,3] along axis 2'],
    [
      { kind: 'concat', axis: 1, of: [w, literal('f32', [1, 3], [1, 2, 3])] },
      'joins f32[2,3] and f32[1,3] along axis 1',
    ],
    [{ kind: 'concat', axis: 0, of: [] }, 'joins nothing'],
    [{ kind: 'stack', of: [] }, 'stacks nothing'],
    [{ kind: 'stack', of: [w, file] }, 'stacks f32[2,3] and bf16[2,3]'],
    [{ kind: 'merge', base: w, a: w, b: w, scale: 1 }, 'merges f32[2,3] · f32[2,3] into f32[2,3]'],
    [{ kind: 'offset', by: 1, of: { ...w, values: [] } }, 'has 0 values for f32[2,3]'],
  ])('%j is not', (expr, problem) => {
    expect(problems(expr, [9])).toEqual([expect.stringContaining(problem)]);
  });
});
