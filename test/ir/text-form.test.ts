import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatProblem, parseGraph } from '../../ir/parse.ts';
import { printGraph } from '../../ir/print.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { type Draw, randomGraph } from './random-graph.ts';

/** A page with everything on it, as it is printed. */
const page = `graph "tiny" folded(
  %input_ids: i64[batch,sequence],
  %past_key_values.0.key: f32[3,batch,2,past,4],
  %"odd \\"name\\"": f32[3,8],
  %max_loops: i64[]
) {
  weight %embed: f32[16,8] = cast<f32>(file "model.safetensors" "model.embed_tokens.weight" bf16[16,8] @128+256)
  weight %w: f32[8,8] = merge<0.5>(file "m" "w" f32[8,8] @0+256, literal f32[0,8] [], literal f32[8,0] [])
  weight %both: f32[2,4,4] = stack(transpose<[1,0]>(literal f32[1,2] [-0,inf]), concat<1>(file "m" "a" f32[4,3] @8+48, literal f32[4,1] [1,2,3,nan]))
  %c: f32[3] = constant {dtype=f32, dims=[3], values=[1e-7,-inf,0.1]}
  %n: i64[] = size {of=past+2*sequence}
  %h: f32[batch,sequence,8] = gather %embed, %input_ids {axis=0} @"embed"
  %top: f32[batch,sequence,2], %where: i64[batch,sequence,2] = top_k %h {k=2}
  %h.1: f32[batch,sequence,8],
  %all: f32[3,batch,sequence,8] = loop %h, %"odd \\"name\\"", %max_loops {loops=3, carried=1, each=1, limited=true, stops=true} @"block" (
    %depth: i64[],
    %h.2: f32[batch,sequence,8],
    %entry: f32[8]
  ) {
    %h.3: f32[batch,sequence,8] = add %h.2, %entry
    %h.4: f32[batch,sequence,8] = gelu %h.3 {form=tanh}
    %two: i64[] = constant {dtype=i64, dims=[], values=[2]}
    %stop: bool[] = equal %depth, %two
    return %stop, %h.4, %h.3
  }
  return logits: %h.1, "odd output": %all, %top
}
`;

function parse(text: string) {
  const result = parseGraph(text);
  if (!result.ok) expect.fail(result.problems.map(formatProblem).join('\n'));
  return result.graph;
}

describe('text that is printed', () => {
  test('has everything on one page', () => {
    const graph = parse(page);
    expect(printGraph(graph)).toBe(page);
    expect(graph.weights[1]!.expr).toMatchObject({ kind: 'merge', scale: 0.5, a: { dims: [0, 8] } });
    expect(graph.ops[0]!.attrs).toEqual({ dtype: 'f32', dims: [3], values: [1e-7, Number.NEGATIVE_INFINITY, 0.1] });
    expect(graph.ops[1]!.attrs).toEqual({ of: 'past+2*sequence' });
    expect(graph.outputs.map((o) => [o.name, o.value.name])).toEqual([
      ['logits', 'h.1'],
      ['odd output', 'all'],
      ['top', 'top'],
    ]);
    expect(verifyGraph({ ...graph, weights: graph.weights.slice(0, 2) })).toEqual([]);
  });

  test('says nothing that goes without saying', () => {
    const text = 'graph(%x: f32[2]) {\n  return %x\n}\n';
    expect(parse(text)).toEqual({
      name: '',
      stage: 'unrolled',
      inputs: [{ name: 'x', type: { dtype: 'f32', dims: [2] } }],
      weights: [],
      ops: [],
      outputs: [{ name: 'x', value: { name: 'x', type: { dtype: 'f32', dims: [2] } } }],
    });
    expect(printGraph(parse(text))).toBe(text);
  });

  test('is the same graph when it is read back, whatever the graph', () => {
    fc.assert(
      fc.property(fc.gen(), (gen) => {
        const graph = randomGraph(((arbitrary) => gen(arbitrary)) as Draw);
        const text = printGraph(graph);
        const again = parseGraph(text);
        expect(again).toEqual({ ok: true, graph });
        expect(again.ok && printGraph(again.graph)).toBe(text);
      }),
      { numRuns: 100, endOnFailure: true },
    );
  });
});

describe('text that people write', () => {
  test('may have comments, any space, attributes in any order, quotes where none are needed, dims in any order', () => {
    const text = `// a dump
      graph "" unrolled ( %"x" : f32 [ sequence + past , 1*2 ] ) { %y:f32[past+sequence,1]=slice %x{end=1,axis=1,start=0} // one column
      return "y" : %y }`;
    expect(printGraph(parse(text))).toBe(
      'graph(%x: f32[past+sequence,2]) {\n  %y: f32[past+sequence,1] = slice %x {axis=1, start=0, end=1}\n  return %y\n}\n',
    );
  });

  const one = (line: string) => `graph(%x: f32[2]) {\n  ${line}\n  return %x\n}\n`;
  test.each([
    ['', ['1:1: expected "graph" to begin with, found the end of the text']],
    ['graph(%x: f32[2]) {', ['1:20: expected "return", found the end of the text']],
    ['graph(%x: f32[2], ) { return %x }', ['1:19: expected a value, such as %x, found ")"']],
    [
      'graph(%x: f33[2]) { return %x }',
      ['1:11: expected one of f64, f32, f16, bf16, i64, i32, i8, i4, u8, bool, found "f33"'],
    ],
    ['graph(%x: f32[past%y]) { return %x }', ['1:19: expected "," or "]", found %y']],
    ['graph(%x: f32[past+]) { return %x }', ['1:15: expected a number or a name such as past+sequence, found "past+"']],
    ['graph(%x: f32[2]) { return %x', ['1:30: expected "}" or "," and another result, found the end of the text']],
    ['graph(%x: f32[2]) { return %x } graph', ['1:33: expected the end of the text, found "graph"']],
    ['graph(%x: f32[2]) { return %x, %x }', ['1:32: there is an output %x already']],
    ['graph(%x: f32[2], %x: f32[2]) { return %x }', ['1:19: %x is made in line 1 already']],
    [one('%y: f32[2] = negate %x'), ['2:16: there is no operation "negate"']],
    [one('%y: f32[2] = neg %z'), ['2:20: there is no value %z before this']],
    [one('%y f32[2] = neg %x'), ['2:6: expected ":" and the type, found "f32"']],
    [one('%y: f32[2], neg %x'), ['2:15: expected a value, such as %x, found "neg"']],
    [one('%y: f32[2] = gelu %x'), ['2:16: gelu needs form=… in {…}']],
    [one('%y: f32[2] = gelu %x {form=exact}'), ['2:30: expected one of erf, tanh, sigmoid, found "exact"']],
    [one('%y: f32[2] = gelu %x {fom=erf}'), ['2:25: expected an attribute of gelu: form, found "fom"']],
    [one('%y: f32[2] = cast %x {to=f32, to=f16}'), ['2:33: the attribute to is given twice']],
    [one('%y: f32[2] = softmax %x {axis=0.5}'), ['2:33: expected a whole number, found "0.5"']],
    [one('%y: f32[2] = softmax %x {axis=0'), ['3:3: expected "," or "}", found "return"']],
    [one('%y: f32[2] = neg %x @block'), ['2:24: expected a scope in quotes, found "block"']],
    [one('%y: f32[2] = neg %x @"blo'), ['2:24: expected a scope in quotes, found "\\"blo", which cannot be read']],
    [
      one('%y: f32[2] = loop %x {loops=1, carried=1, each=0, limited=false, stops=false}'),
      ['3:3: expected "(" and the parameters of the body, found "return"'],
    ],
    [one('weight %w: f32[2] = literal f32[2] [1]'), ['2:38: expected 2 numbers, found 1']],
    [one('weight %w: f32[2] = cast<i64>(file "a" "b" f32[2] @0+8)'), ['2:28: expected a float type, found "i64"']],
    [one('weight %w: f32[2] = file "a" f32[2] @0+8'), ['2:32: expected the name of the tensor in quotes, found "f32"']],
    [one('weight %w: f32[2] = merge<1>(file "a" "b" f32[2] @0+8)'), ['2:23: expected 3 in merge(…), found 1']],
    [
      one('weight %w: f32[2] = fil "a"'),
      ['2:23: expected one of file, literal, cast, transpose, offset, concat, stack, merge, found "fil"'],
    ],
    [one('oops'), ['2:3: there is no operation "oops"']],
  ])('%j', (text, problems) => {
    const result = parseGraph(text);
    expect(result.ok ? [] : result.problems.map(formatProblem)).toEqual(problems);
  });

  test('has all its problems told at once, and none that only follows from another', () => {
    const text = `graph(%x: f32[2]) {
  %a: f32[2] = negg %x
  %b: f32[2] = add %a, %c
  %l: f32[2] = loop %x {loops=2, carried=1, each=0, limited=false, stops=false} (%d: i64[], %h: f32[2]) {
    %i: f32[2] = gelu %h
    %j: f32[2] = exp %i
    return %j
  }
  %k: f32[2] = exp %j
  return %k, %q
}
`;
    const result = parseGraph(text);
    expect(result.ok ? [] : result.problems.map(formatProblem)).toEqual([
      '2:16: there is no operation "negg"',
      '3:24: there is no value %c before this',
      '5:18: gelu needs form=… in {…}',
      '9:20: there is no value %j before this, only inside a loop',
      '10:14: there is no value %q before this',
    ]);
  });

  test('never makes the parser throw, nor a graph that cannot be printed', () => {
    const pieces = page.split(/(?<=\W)|(?=\W)/);
    const edit = fc.record({
      at: fc.nat({ max: pieces.length - 1 }),
      remove: fc.nat({ max: 3 }),
      insert: fc.oneof(
        fc.constantFrom(...pieces),
        fc.string({ maxLength: 4 }),
        fc.constantFrom('"', '{', '(', 'return', '%'),
      ),
    });
    let broken = 0;
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const mutated = [...pieces];
        for (const { at, remove, insert } of edits) mutated.splice(at, remove, insert);
        const result = parseGraph(mutated.join(''));
        if (result.ok) {
          verifyGraph(result.graph);
          expect(parse(printGraph(result.graph))).toEqual(result.graph);
        } else {
          broken++;
          expect(result.problems.length).toBeGreaterThan(0);
        }
      }),
      { numRuns: 500, endOnFailure: true },
    );
    expect(broken).toBeGreaterThan(50);
  });

  test('may be nested as deep as it likes without breaking the stack', () => {
    const expression = one(`weight %w: f32[1] = ${'offset<1>('.repeat(100_000)}`);
    const loops = one('%y: f32[1] = loop (%d: i64[]) {'.repeat(100_000));
    for (const text of [expression, loops]) {
      const result = parseGraph(text);
      expect(result.ok).toBe(false);
      expect(!result.ok && result.problems.some((p) => p.message.includes('inside one another'))).toBe(true);
    }
  });
});
