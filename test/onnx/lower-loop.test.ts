import { expect, test } from 'vitest';
import type { Graph } from '../../ir/graph.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { formatProblem, parseGraph } from '../../ir/parse.ts';
import { lowerToModel, lowerToOnnx } from '../../targets/onnx/lower.ts';
import { expectClose } from '../support/expect-close.ts';
import { randomInputs, randomWeight } from '../support/random-tensors.ts';
import { loadOnnx } from './run-onnx.ts';

const options = { dialect: 'portable', fileName: 'model.onnx', version: '0', metadata: {} } as const;

/** Adds an entry of a stack each depth, collects what it has, and stops when it is told to. */
const everything = `graph lowered(%x: f32[n,2], %steps: f32[4,2], %limit: i64[], %high: f32[]) {
  %three: f32[] = constant {dtype=f32, dims=[], values=[3]}
  %outer: f32[n,2] = mul %x, %three
  %y: f32[n,2], %seen: f32[4,n,2], %which: i64[4] = loop %x, %steps, %limit {loops=4, carried=1, each=1, limited=true, stops=true} (
    %depth: i64[],
    %h: f32[n,2],
    %step: f32[2]
  ) {
    %moved: f32[n,2] = add %h, %step
    %next: f32[n,2] = add %moved, %outer
    %row: f32[n] = reduce_max %next {axis=1, keep=false}
    %top: f32[] = reduce_max %row {axis=0, keep=false}
    %stop: bool[] = less %high, %top
    return %stop, %next, %moved, %depth
  }
  return %y, %seen, %which
}`;

test.each([
  ['to the end', 4, 100],
  ['limited', 2, 100],
  ['limited to less than one', 0, 100],
  ['limited to more than there are', 9, 100],
  ['stopped at once', 4, 0],
  ['stopped in between', 4, 6],
])('runs as the interpreter does: %s', async (_, limit, high) => {
  const x = makeTensor('f32', [2, 2], [1, 0.5, -1, 0.25]);
  const steps = makeTensor('f32', [4, 2], [1, 1, 1, 1, 0.5, 0.5, 2, 2]);
  const found = await expectSame(
    parse(everything),
    new Map([
      ['x', x],
      ['steps', steps],
      ['limit', makeTensor('i64', [], [limit])],
      ['high', makeTensor('f32', [], [high])],
    ]),
  );
  const ran = high === 0 ? 1 : high === 6 ? 2 : Math.min(Math.max(limit, 1), 4);
  const which = [0, 1, 2, 3].map((depth) => Math.min(depth, ran - 1));
  expect([...found.get('which')!.data], 'depths that did not run repeat the last that did').toEqual(which);
});

test('neither limited nor stopping, collecting nothing', async () => {
  const graph = parse(`graph lowered(%x: f32[n]) {
    %y: f32[n] = loop %x {loops=3, carried=1, each=0, limited=false, stops=false} (%depth: i64[], %h: f32[n]) {
      %d: f32[] = cast %depth {to=f32}
      %next: f32[n] = add %h, %d
      return %next
    }
    return %y
  }`);
  await expectSame(graph, randomInputs(graph, 'plain'));
});

test('a body may return its parameters, what is around it, a constant, and one value twice', async () => {
  const graph = parse(`graph lowered(%x: f32[n], %o: f32[n]) {
    %a: f32[n], %b: f32[n], %c: f32[2,n], %d: f32[2,n], %e: i64[2,2] = loop %x, %o
        {loops=2, carried=2, each=0, limited=false, stops=false} (%depth: i64[], %h: f32[n], %i: f32[n]) {
      %k: i64[2] = constant {dtype=i64, dims=[2], values=[5,6]}
      return %i, %h, %o, %o, %k
    }
    return %a, %b, %c, %d, %e
  }`);
  await expectSame(graph, randomInputs(graph, 'odd'));
});

test('a loop in a loop', async () => {
  const graph = parse(`graph lowered(%x: f32[n], %s: f32[2,3,n]) {
    %y: f32[n], %all: f32[2,3,n] = loop %x, %s {loops=2, carried=1, each=1, limited=false, stops=false} (
      %depth: i64[], %h: f32[n], %rows: f32[3,n]
    ) {
      %i: f32[n], %inner: f32[3,n] = loop %h, %rows {loops=3, carried=1, each=1, limited=false, stops=false} (
        %depth.1: i64[], %g: f32[n], %row: f32[n]
      ) {
        %d: f32[] = cast %depth {to=f32}
        %sum: f32[n] = add %g, %row
        %next: f32[n] = add %sum, %d
        return %next, %sum
      }
      return %i, %inner
    }
    return %y, %all
  }`);
  await expectSame(graph, randomInputs(graph, 'nested'));
});

test('weights and sizes that a body uses are in the main graph, once', () => {
  const graph = parse(`graph lowered(%x: f32[n,m,4]) {
    weight %w: f32[4,4] = cast<f32>(file "m.safetensors" "w" bf16[4,4] @8+32)
    %y: f32[n,m,4] = loop %x {loops=3, carried=1, each=0, limited=false, stops=false} (%depth: i64[], %h: f32[n,m,4]) {
      %p: f32[m*n,4] = reshape %h {dims=[m*n,4]}
      %q: f32[m*n,4] = linear %p, %w
      %r: f32[2*n,2*m] = reshape %q {dims=[2*n,2*m]}
      %next: f32[n,m,4] = reshape %r {dims=[n,m,4]}
      return %next
    }
    return %y
  }`);
  const { model } = lowerToModel(graph, options);
  const external = model.graph.initializers.filter(({ data }) => data.kind === 'external');
  expect(external.map(({ name }) => name)).toEqual(['w']);
  const main = model.graph.nodes.map(({ opType }) => opType);
  expect(main.sort()).toEqual(['Cast', 'Concat', 'Concat', 'Loop', 'Mul', 'Mul', 'Shape', 'Shape']);
  const body = model.graph.nodes.find(({ opType }) => opType === 'Loop')!.attributes.body!;
  if (body.kind !== 'graph') expect.fail('the body is no graph');
  expect(body.value.initializers).toEqual([]);
  const inside = body.value.nodes.map(({ opType }) => opType);
  expect(inside).toEqual(['Reshape', 'Gemm', 'Reshape', 'Reshape', 'Identity', 'Identity']);
});

function parse(text: string): Graph<'lowered'> {
  const result = parseGraph(text);
  if (!result.ok) expect.fail(result.problems.map(formatProblem).join('\n'));
  return result.graph as Graph<'lowered'>;
}

async function expectSame(
  graph: Graph<'lowered'>,
  inputs: ReadonlyMap<string, Tensor>,
): Promise<ReadonlyMap<string, Tensor>> {
  const onnx = await loadOnnx(lowerToOnnx(graph, options), '.');
  try {
    const expected = await interpret(graph, inputs, { readWeight: randomWeight, round: true });
    const found = await onnx.run(inputs);
    for (const [name, value] of expected) expectClose(found.get(name)!, value, 1e-6, name);
    return found;
  } finally {
    await onnx.close();
  }
}
