import { expect, test } from 'vitest';
import { allOps, type Graph } from '../../ir/graph.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import { makeTensor } from '../../ir/interpret/tensor.ts';
import { type OpKind, opTable } from '../../ir/op-table.ts';
import { formatProblem, parseGraph } from '../../ir/parse.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { takeApart } from '../../passes/take-apart.ts';
import { dialects } from '../../targets/onnx/dialects.ts';
import { lowerToModel, lowerToOnnx } from '../../targets/onnx/lower.ts';
import { lowerings } from '../../targets/onnx/lowerings.ts';
import { attentionNames } from '../../targets/tensorrt/attention-names.ts';
import { expectClose } from '../support/expect-close.ts';
import { fixturesIn, readFixture } from '../support/fixture.ts';
import { randomInputs, randomWeight } from '../support/random-tensors.ts';
import { loadOnnx } from './run-onnx.ts';

/** Operations that take-apart leaves in no graph for ONNX. */
const takenApart = ['low_rank', 'low_rank_by_depth', 'rms_norm', 'rotary', 'attention', 'paged_attention'] as const;

type Reaching = Exclude<OpKind, (typeof takenApart)[number]>;

/** Graphs, without their heads, that together have every operation which can reach the target. */
const graphs: Readonly<Record<Reaching, readonly string[]>> = {
  constant: [
    `graph lowered(%x: f32[n]) {
      %c: f32[2,2] = constant {dtype=f32, dims=[2,2], values=[0.5,-1,3e-8,65504]}
      %d: i64[] = constant {dtype=i64, dims=[], values=[-7]}
      %e: bool[2] = constant {dtype=bool, dims=[2], values=[0,1]}
      %y: f32[n] = neg %x
      return %y, %c, %d, again: %d, %e
    }`,
  ],
  size: [
    `graph lowered(%x: f32[batch,past+sequence], %y: f32[sequence,3], %z: f32[past]) {
      %a: i64[] = size {of=past+sequence}
      %b: i64[] = size {of=2*batch*sequence+past-1}
      %c: i64[] = size {of=5}
      %d: i64[] = size {of=past}
      return %a, %b, %c, %d
    }`,
    // Only the sum is an input's axis: past has to be found from it.
    `graph lowered(%x: f32[batch,past+sequence], %y: f32[sequence]) {
      %a: i64[] = size {of=past}
      return %a
    }`,
  ],
  iota: [`graph lowered(%x: f32[n]) { %a: i64[n] = iota {size=n} %b: i64[3] = iota {size=3} return %a, %b }`],
  add: binary('add'),
  sub: binary('sub'),
  mul: [...binary('mul'), ...unary('mul %x, %x')],
  div: [
    `graph lowered(%x: f32[n,3], %y: f32[n,1]) {
      %two: f32[] = constant {dtype=f32, dims=[], values=[2]}
      %z: f32[n,1] = add %y, %two
      %a: f32[n,3] = div %x, %z
      return %a
    }`,
  ],
  max: binary('max'),
  min: binary('min'),
  neg: unary('neg %x'),
  exp: unary('exp %x'),
  log: unary('log %positive'),
  sqrt: unary('sqrt %positive'),
  reciprocal: unary('reciprocal %positive'),
  cos: unary('cos %x'),
  sin: unary('sin %x'),
  tanh: unary('tanh %x'),
  sigmoid: unary('sigmoid %x'),
  erf: unary('erf %x'),
  relu: unary('relu %x'),
  silu: unary('silu %x'),
  gelu: [...unary('gelu %x {form=erf}'), ...unary('gelu %x {form=tanh}'), ...unary('gelu %x {form=sigmoid}')],
  cast: [
    `graph lowered(%x: f32[n], %i: i64[n], %b: bool[n]) {
      %ten: f32[] = constant {dtype=f32, dims=[], values=[10]}
      %large: f32[n] = mul %x, %ten
      %a: i64[n] = cast %large {to=i64}
      %c: bool[n] = cast %i {to=bool}
      %d: f32[n] = cast %b {to=f32}
      %e: f16[n] = cast %large {to=f16}
      %f: f32[n] = cast %i {to=f32}
      return %a, %c, %d, %e, %f
    }`,
    `graph lowered(%x: f32[n]) { %b: bf16[n] = cast %x {to=bf16} %y: f32[n] = cast %b {to=f32} return %y }`,
  ],
  equal: comparison('equal'),
  less: comparison('less'),
  less_equal: comparison('less_equal'),
  and: logic('and %x, %y'),
  or: logic('or %x, %y'),
  not: logic('not %x'),
  where: [
    `graph lowered(%c: bool[n,1], %x: f32[n,3], %y: f32[3]) { %a: f32[n,3] = where %c, %x, %y return %a }`,
    `graph lowered(%c: bool[n], %x: i64[n], %y: i64[n]) { %a: i64[n] = where %c, %x, %y return %a }`,
  ],
  matmul: [`graph lowered(%x: f32[b,2,n,3], %y: f32[2,3,4]) { %a: f32[b,2,n,4] = matmul %x, %y return %a }`],
  linear: [
    `graph lowered(%x: f32[n,3], %w: f32[4,3]) { %a: f32[n,4] = linear %x, %w return %a }`,
    `graph lowered(%x: f32[n,3], %w: f32[4,3], %b: f32[4]) { %a: f32[n,4] = linear %x, %w, %b return %a }`,
    `graph lowered(%x: f32[n,3], %w: f32[4,3], %b: f32[n,4]) { %a: f32[n,4] = linear %x, %w, %b return %a }`,
  ],
  reshape: [
    `graph lowered(%x: f32[batch,sequence,6], %p: f32[batch,past,4]) {
      %a: f32[batch,sequence,2,3] = reshape %x {dims=[batch,sequence,2,3]}
      %b: f32[batch*sequence,6] = reshape %x {dims=[batch*sequence,6]}
      %c: f32[batch,2*sequence,3] = reshape %x {dims=[batch,2*sequence,3]}
      %d: f32[6,batch*sequence] = reshape %x {dims=[6,batch*sequence]}
      %e: f32[2,past,batch,2] = reshape %p {dims=[2,past,batch,2]}
      return %a, %b, %c, %d, %e
    }`,
    `graph lowered(%x: f32[4,3]) { %a: f32[2,6] = reshape %x {dims=[2,6]} return %a }`,
    // Axes of size 1 and nothing else: no size has to be told.
    `graph lowered(%x: f32[batch,1,sequence]) {
      %a: f32[1,batch,1,1,sequence,1] = reshape %x {dims=[1,batch,1,1,sequence,1]}
      %b: f32[batch,1,1,sequence] = reshape %x {dims=[batch,1,1,sequence]}
      %c: f32[batch,sequence] = reshape %x {dims=[batch,sequence]}
      return %a, %b, %c
    }`,
    `graph lowered(%x: f32[n,0]) { %a: f32[0,n,2] = reshape %x {dims=[0,n,2]} return %a }`,
  ],
  expand: [
    `graph lowered(%x: f32[batch,1,3], %s: f32[sequence]) {
      %a: f32[2,batch,sequence,3] = expand %x {dims=[2,batch,sequence,3]}
      return %a
    }`,
  ],
  transpose: [`graph lowered(%x: f32[n,2,3]) { %a: f32[3,n,2] = transpose %x {perm=[2,0,1]} return %a }`],
  concat: [
    `graph lowered(%x: f32[2,past,3], %y: f32[2,new,3]) { %a: f32[2,new+past,3] = concat %x, %y {axis=1} return %a }`,
  ],
  stack: [`graph lowered(%x: f32[n,3], %y: f32[n,3]) { %a: f32[2,n,3] = stack %x, %y return %a }`],
  slice: [
    `graph lowered(%x: f32[past+new,5], %p: f32[past]) {
      %a: f32[new,5] = slice %x {axis=0, start=past, end=past+new}
      %b: f32[past+new,2] = slice %x {axis=1, start=1, end=3}
      return %a, %b
    }`,
  ],
  select: [`graph lowered(%x: f32[n,3,2]) { %a: f32[n,2] = select %x {axis=1, index=2} return %a }`],
  split: [
    `graph lowered(%x: f32[n,6]) { %a: f32[n,1], %b: f32[n,5] = split %x {axis=1, sizes=[1,5]} return %a, %b }`,
    `graph lowered(%x: f32[n,past+2], %p: f32[past]) {
      %a: f32[n,past], %b: f32[n,2] = split %x {axis=1, sizes=[past,2]}
      return %a, %b
    }`,
  ],
  gather: [
    `graph lowered(%x: f32[5,n], %i: i64[a,b]) { %r: f32[a,b,n] = gather %x, %i {axis=0} return %r }`,
    `graph lowered(%x: f32[n,5], %i: i64[]) { %r: f32[n] = gather %x, %i {axis=1} return %r }`,
  ],
  put_rows: [
    `graph lowered(%x: f32[n+2,3,m], %u: f32[2,3,m], %n: f32[n]) {
      %i: i64[2] = constant {dtype=i64, dims=[2], values=[2,0]}
      %y: f32[n+2,3,m] = put_rows %x, %i, %u
      return %y
    }`,
    `graph lowered(%x: i64[n+1], %n: f32[n]) {
      %i: i64[n] = iota {size=n}
      %y: i64[n+1] = put_rows %x, %i, %i
      return %y
    }`,
  ],
  reduce_sum: reduction('reduce_sum', ['f32', 'i64']),
  reduce_mean: reduction('reduce_mean', ['f32']),
  reduce_max: reduction('reduce_max', ['f32', 'i64']),
  cumsum: [
    `graph lowered(%x: i64[batch,n]) { %a: i64[batch,n] = cumsum %x {axis=1} return %a }`,
    `graph lowered(%x: f32[n,3]) { %a: f32[n,3] = cumsum %x {axis=0} return %a }`,
    `graph lowered(%x: f32[n]) { %h: f16[n] = cast %x {to=f16} %a: f16[n] = cumsum %h {axis=0} return %a }`,
  ],
  softmax: [`graph lowered(%x: f32[n,3,2]) { %a: f32[n,3,2] = softmax %x {axis=1} return %a }`],
  top_k: [
    `graph lowered(%x: f32[n,7]) { %v: f32[n,3], %i: i64[n,3] = top_k %x {k=3} return %v, %i }`,
    // Equal numbers: the first one comes first.
    `graph lowered(%x: f32[n]) {
      %c: f32[5] = constant {dtype=f32, dims=[5], values=[1,2,2,1,2]}
      %v: f32[2], %i: i64[2] = top_k %c {k=2}
      %y: f32[n] = neg %x
      return %v, %i, %y
    }`,
  ],
  arg_max: [
    `graph lowered(%x: f32[n,7]) { %i: i64[n] = arg_max %x return %i }`,
    // Equal numbers: the first one.
    `graph lowered(%x: f32[n]) {
      %c: f32[2,3] = constant {dtype=f32, dims=[2,3], values=[1,2,2,-1,-1,-2]}
      %i: i64[2] = arg_max %c
      %y: f32[n] = neg %x
      return %i, %y
    }`,
  ],
  add_rms_norm: [
    `graph lowered(%x: f32[n,4], %y: f32[n,4], %w: f32[4]) {
      %a: f32[n,4], %b: f32[n,4] = add_rms_norm %x, %y, %w {epsilon=0.00001}
      return %a, %b
    }`,
  ],
  layer_norm: [
    `graph lowered(%x: f32[b,n,4], %w: f32[4], %v: f32[4]) {
      %a: f32[b,n,4] = layer_norm %x, %w, %v {epsilon=0.01}
      return %a
    }`,
  ],
  rotary_lookup: [rotaryLookup(4), rotaryLookup(6)],
  // Has tests of its own.
  loop: [],
};

const cases = Object.entries(graphs).flatMap(([kind, texts]) => texts.map((text, i) => [kind, i, text] as const));

test.each(cases)('%s %i', async (kind, _, text) => {
  const graph = parse(text);
  expect(
    graph.ops.map((op) => op.kind),
    'what the test is about is in its graph',
  ).toContain(kind);
  const file = lowerToOnnx(graph, { dialect: 'ort', fileName: 'model.onnx', version: '0', metadata: {} });
  const onnx = await loadOnnx(file, '.');
  try {
    for (const seed of ['one', 'two', 'three']) {
      const inputs = randomInputs(graph, seed);
      const expected = await interpret(graph, inputs, { readWeight: randomWeight, round: true });
      const found = await onnx.run(inputs);
      for (const [name, tensor] of expected) {
        const tolerance = tensor.dtype === 'f16' ? 2e-3 : tensor.dtype === 'f32' ? 2e-6 : 0;
        expectClose(found.get(name)!, tensor, tolerance, name);
      }
    }
  } finally {
    await onnx.close();
  }
});

test('every operation is in a graph above, or stops when it comes whole', () => {
  const covered = new Set<string>([...Object.keys(graphs), ...takenApart]);
  expect([...covered].sort()).toEqual(Object.keys(opTable).sort());
  const context = { spec: dialects.portable };
  for (const kind of takenApart) {
    const lower = lowerings[kind] as (op: object, context: object) => void;
    expect(() => lower({ kind, operands: [] }, context)).toThrow(`${kind} came to the ONNX target whole`);
  }
});

test('take-apart has a fixture for each that stops, and leaves none', () => {
  const kinds = (graph: Graph): readonly OpKind[] => Array.from(allOps(graph), ({ kind }) => kind);
  const inputs = fixturesIn('take-apart').map(({ file }) => readFixture(file).input);
  for (const kind of takenApart) {
    const whole = inputs.filter((graph) => kinds(graph).includes(kind));
    expect(whole.length, `fixtures of take-apart that have ${kind}`).toBeGreaterThan(0);
    for (const graph of whole) expect(kinds(takeApart(new Set()).run(graph, { note: () => {} }))).not.toContain(kind);
  }
});

const nativeAttention = {
  ...dialects.tensorrt,
  opset: 23,
  irVersion: 11,
  keeps: new Set([...dialects.tensorrt.keeps, 'attention' as const]),
};

test.each([
  ['f32', 1e-6],
  ['f16', 2e-3],
] as const)('attention as it is, in %s: heads in groups, two masks, one of them twice', async (dtype, tolerance) => {
  // Everybody sees the first key: what a query gives that sees none is anybody's guess.
  const graph = parse(`graph lowered(
    %x: f32[b,4,s,8], %y: f32[b,2,t,8], %z: f32[b,2,t,6], %seen: bool[b,1,s,t], %columns: f32[t]
  ) {
    %q: ${dtype}[b,4,s,8] = cast %x {to=${dtype}}
    %k: ${dtype}[b,2,t,8] = cast %y {to=${dtype}}
    %v: ${dtype}[b,2,t,6] = cast %z {to=${dtype}}
    %places: i64[t] = iota {size=t}
    %zero: i64[] = constant {dtype=i64, dims=[], values=[0]}
    %first: bool[t] = equal %places, %zero
    %mask: bool[b,1,s,t] = or %seen, %first
    %other: bool[b,1,s,t] = or %mask, %mask
    %a: ${dtype}[b,4,s,6] = attention %q, %k, %v, %mask {scale=0.3}
    %b: ${dtype}[b,4,s,6] = attention %q, %k, %v, %mask {scale=1}
    %c: ${dtype}[b,4,s,6] = attention %q, %k, %v, %other {scale=0.5}
    return %a, %b, %c
  }`);
  const options = { dialect: 'tensorrt', spec: nativeAttention, version: '0', metadata: {} } as const;
  const { model } = lowerToModel(graph, options);
  expect(model.graph.nodes.filter(({ opType }) => opType === 'Where')).toHaveLength(2);
  expect(attentionNames(model)).toEqual(['/Attention', '/Attention_1', '/Attention_2']);
  const file = lowerToOnnx(graph, { ...options, fileName: 'model.onnx' });
  expect(attentionNames(file.bytes)).toEqual(attentionNames(model));
  const onnx = await loadOnnx(file, '.');
  try {
    for (const seed of ['one', 'two', 'three']) {
      const inputs = randomInputs(graph, seed);
      const expected = await interpret(graph, inputs, { readWeight: randomWeight, round: true });
      const found = await onnx.run(inputs);
      for (const [name, tensor] of expected) expectClose(found.get(name)!, tensor, tolerance, name);
    }
  } finally {
    await onnx.close();
  }
});

test('attention in a loop and behind it, under one mask', async () => {
  const graph = parse(`graph lowered(%x: f32[b,2,s,8], %seen: bool[b,1,s,s], %columns: f32[s]) {
    %places: i64[s] = iota {size=s}
    %zero: i64[] = constant {dtype=i64, dims=[], values=[0]}
    %first: bool[s] = equal %places, %zero
    %mask: bool[b,1,s,s] = or %seen, %first
    %h: f32[b,2,s,8] = loop %x {loops=3, carried=1, each=0, limited=false, stops=false} (
      %depth: i64[], %in: f32[b,2,s,8]
    ) {
      %a: f32[b,2,s,8] = attention %in, %x, %x, %mask {scale=0.3}
      return %a
    }
    %y: f32[b,2,s,8] = attention %h, %x, %x, %mask {scale=0.3}
    return %y
  }`);
  const file = lowerToOnnx(graph, {
    dialect: 'tensorrt',
    spec: nativeAttention,
    fileName: 'model.onnx',
    version: '0',
    metadata: {},
  });
  const onnx = await loadOnnx(file, '.');
  try {
    const inputs = randomInputs(graph, 'loop');
    const expected = await interpret(graph, inputs, { readWeight: randomWeight, round: true });
    for (const [name, tensor] of expected) expectClose((await onnx.run(inputs)).get(name)!, tensor, 1e-6, name);
  } finally {
    await onnx.close();
  }
});

test('what hides a key leaves room for its score', () => {
  const hidden = lowerToModel(
    parse(`graph lowered(%q: f16[b,1,s,8], %k: f16[b,1,t,8], %mask: bool[b,1,s,t]) {
      %a: f16[b,1,s,8] = attention %q, %k, %k, %mask {scale=1}
      return %a
    }`),
    { dialect: 'tensorrt', spec: nativeAttention, version: '0', metadata: {} },
  ).model.graph.initializers.map(({ name }) => name);
  // Lower than any score, and a score can be added to it.
  expect(hidden).toContain('/constant/f16[]{-30000}');
});

test.each([
  ['tensorrt', 2 ** 24],
  ['portable', 2 ** 40],
] as const)('%s sums integers exactly up to %i', async (dialect, most) => {
  const graph = parse(`graph lowered(%x: i64[n]) { %a: i64[n] = cumsum %x {axis=0} return %a }`);
  const onnx = await loadOnnx(lowerToOnnx(graph, { dialect, fileName: 'm.onnx', version: '0', metadata: {} }), '.');
  try {
    const x = makeTensor('i64', [4], [most - 3, 1, 1, 1]);
    const found = (await onnx.run(new Map([['x', x]]))).get('a')!;
    expect([...found.data]).toEqual([most - 3, most - 2, most - 1, most]);
  } finally {
    await onnx.close();
  }
});

test('a product of more than two axes is our bug, not an invalid model', () => {
  const graph = parse('graph lowered(%x: f32[b,n,3], %w: f32[4,3]) { %a: f32[b,n,4] = linear %x, %w return %a }');
  const lower = () => lowerToOnnx(graph, { dialect: 'portable', fileName: 'm.onnx', version: '0', metadata: {} });
  expect(lower).toThrow('flatten-rows left a product');
});

function parse(text: string): Graph<'lowered'> {
  const result = parseGraph(text);
  if (!result.ok) expect.fail(result.problems.map(formatProblem).join('\n'));
  expect(verifyGraph(result.graph)).toEqual([]);
  return result.graph as Graph<'lowered'>;
}

function unary(call: string): readonly string[] {
  return [
    `graph lowered(%x: f32[n,3]) {
      %half: f32[] = constant {dtype=f32, dims=[], values=[1.5]}
      %positive: f32[n,3] = add %x, %half
      %a: f32[n,3] = ${call}
      return %a, %positive
    }`,
  ];
}

function binary(kind: string): readonly string[] {
  return [
    `graph lowered(%x: f32[n,3], %y: f32[n,1]) { %a: f32[n,3] = ${kind} %x, %y return %a }`,
    `graph lowered(%x: i64[n], %y: i64[m,1]) { %a: i64[m,n] = ${kind} %x, %y return %a }`,
  ];
}

function comparison(kind: string): readonly string[] {
  return [
    `graph lowered(%x: i64[n,3], %y: i64[3]) { %a: bool[n,3] = ${kind} %x, %y return %a }`,
    `graph lowered(%x: f32[n,3], %y: f32[n,3]) { %a: bool[n,3] = ${kind} %x, %y return %a }`,
  ];
}

function logic(call: string): readonly string[] {
  return [`graph lowered(%x: bool[n], %y: bool[n]) { %a: bool[n] = ${call} return %a, %y }`];
}

function reduction(kind: string, dtypes: readonly string[]): readonly string[] {
  return dtypes.map(
    (dtype) => `graph lowered(%x: ${dtype}[n,3,2]) {
      %a: ${dtype}[n,1,2] = ${kind} %x {axis=1, keep=true}
      %b: ${dtype}[n,3] = ${kind} %x {axis=2, keep=false}
      return %a, %b
    }`,
  );
}

function rotaryLookup(width: number): string {
  return `graph lowered(%x: f32[batch,2,sequence,${width}], %c: f32[8,2], %s: f32[8,2], %rows: i64[batch,sequence]) {
    %a: f32[batch,2,sequence,${width}] = rotary_lookup %x, %c, %s, %rows
    return %a
  }`;
}
