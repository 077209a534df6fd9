import { describe, expect, test } from 'vitest';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { encodeTensor } from '../../ir/tensor-bytes.ts';
import { createOnnxExecutor } from '../../targets/onnx/execute/onnx-executor.ts';
import type { OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor, OnnxValueInfo } from '../../targets/onnx/onnx-model.ts';
import { encodeModel } from '../../targets/onnx/proto.ts';
import { expectClose } from '../support/expect-close.ts';
import { randomTensor } from '../support/random-tensors.ts';
import { int, runOurs, runTheirs, wholeModel } from './one-node.ts';

let count = 0;
function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, OnnxAttribute>> = {},
): OnnxNode {
  return { name: `${opType}_${count++}`, opType, domain: '', inputs, outputs, attributes };
}

const info = (name: string, elementType: OnnxValueInfo['elementType'], dims: OnnxValueInfo['dims']): OnnxValueInfo => ({
  name,
  elementType,
  dims,
});
const floatInfo = (name: string, ...dims: (number | string)[]) => info(name, 'FLOAT', dims);
const graphOf = (parts: Partial<OnnxGraph>): OnnxGraph => ({
  name: 'g',
  docString: '',
  nodes: [],
  initializers: [],
  inputs: [],
  outputs: [],
  valueInfo: [],
  ...parts,
});
const inline = (
  name: string,
  elementType: 'FLOAT' | 'INT64' | 'BOOL' | 'BFLOAT16',
  dims: readonly number[],
  values: readonly number[],
): OnnxTensor => {
  const dtype = { FLOAT: 'f32', INT64: 'i64', BOOL: 'bool', BFLOAT16: 'bf16' } as const;
  return { name, elementType, dims, data: { kind: 'inline', bytes: encodeTensor(dtype[elementType], values) } };
};
const body = (graph: Partial<OnnxGraph>): OnnxAttribute => ({ kind: 'graph', value: graphOf(graph) });
const x = randomTensor('f32', [2], 'x');

/** Runs a model that has to work and gives what came out. */
async function both(graph: OnnxGraph, feeds: Readonly<Record<string, Tensor>>): Promise<ReadonlyMap<string, Tensor>> {
  const given = new Map(Object.entries(feeds));
  const [ours, theirs] = [await runOurs(wholeModel(graph), given), await runTheirs(wholeModel(graph), given)];
  for (const [name, tensor] of theirs) expectClose(ours.get(name)!, tensor, 1e-6, name);
  expect(ours.size).toBe(theirs.size);
  return ours;
}

describe('control flow', () => {
  /** Adds `step` to `state` up to `trips` times, as long as the first element stays below 2, and collects the states. */
  const counting = graphOf({
    nodes: [
      node('Loop', ['trips', 'go', 'state'], ['last', 'all'], {
        body: body({
          nodes: [
            node('Add', ['before', 'step'], ['after']),
            node('Gather', ['after', 'zero'], ['first']),
            node('Less', ['first', 'two'], ['again']),
            node('Identity', ['after'], ['seen']),
          ],
          inputs: [info('i', 'INT64', []), info('still', 'BOOL', []), floatInfo('before', 2)],
          outputs: [info('again', 'BOOL', []), floatInfo('after', 2), floatInfo('seen', 2)],
        }),
      }),
    ],
    initializers: [
      inline('zero', 'INT64', [], [0]),
      inline('two', 'FLOAT', [], [2]),
      inline('step', 'FLOAT', [2], [0.75, -1]),
    ],
    inputs: [info('trips', 'INT64', []), info('go', 'BOOL', []), floatInfo('state', 2)],
    outputs: [floatInfo('last', 2), info('all', 'FLOAT', ['runs', 2])],
  });
  const loop = (trips: number) =>
    both(counting, {
      trips: makeTensor('i64', [], [trips]),
      go: makeTensor('bool', [], [1]),
      state: makeTensor('f32', [2], [0, 0]),
    });

  test('a Loop ends when it has run often enough, or when its body says so', async () => {
    expect([...(await loop(2)).get('all')!.data]).toEqual([0.75, -1, 1.5, -2]);
    expect([...(await loop(9)).get('last')!.data]).toEqual([2.25, -3]);
  });

  test('a Loop without a limit, and a condition that is false from the start', async () => {
    const unlimited = graphOf({
      ...counting,
      nodes: [{ ...counting.nodes[0]!, inputs: ['', 'go', 'state'] }],
      inputs: counting.inputs.slice(1),
    });
    const state = makeTensor('f32', [2], [0, 0]);
    const outputs = await both(unlimited, { go: makeTensor('bool', [], [1]), state });
    expect(outputs.get('all')!.shape).toEqual([3, 2]);
    const never = createOnnxExecutor(encodeModel(wholeModel(unlimited)), async () => new Uint8Array());
    const result =
      never.ok &&
      (await never.value.run(
        new Map([
          ['go', makeTensor('bool', [], [0])],
          ['state', state],
        ]),
      ));
    expect(result && !result.ok && result.diagnostics[0]!.message).toContain('collects values of no iteration');
  });

  test('If runs one of its branches, which see what is around them', async () => {
    const branching = graphOf({
      nodes: [
        node('If', ['which'], ['y'], {
          then_branch: body({ nodes: [node('Neg', ['x'], ['negative'])], outputs: [floatInfo('negative', 2)] }),
          else_branch: body({ nodes: [node('Add', ['x', 'x'], ['double'])], outputs: [floatInfo('double', 2)] }),
        }),
      ],
      inputs: [info('which', 'BOOL', []), floatInfo('x', 2)],
      outputs: [floatInfo('y', 2)],
    });
    await both(branching, { which: makeTensor('bool', [], [1]), x });
    await both(branching, { which: makeTensor('bool', [], [0]), x });
  });
});

describe('weights', () => {
  const external = (name: string, offset: number): OnnxTensor => ({
    name,
    elementType: 'BFLOAT16',
    dims: [2, 3],
    data: { kind: 'external', location: 'w.safetensors', offset, length: 12 },
  });
  const model = graphOf({
    nodes: [
      node('Cast', ['w'], ['wide'], { to: int(1) }),
      node('Transpose', ['wide'], ['turned'], { perm: { kind: 'ints', value: [1, 0] } }),
      node('MatMul', ['x', 'turned'], ['y']),
      node('Cast', ['unused'], ['nobody'], { to: int(1) }),
    ],
    initializers: [external('w', 5), external('unused', 100)],
    inputs: [floatInfo('x', 'n', 3)],
    outputs: [floatInfo('y', 'n', 2)],
  });
  const file = new Uint8Array([...new Array<number>(5).fill(255), ...encodeTensor('bf16', [1, 2, 3, 4, 5, 6])]);

  test('are read by location, offset and length, once, and only those that are needed', async () => {
    const asked: unknown[] = [];
    const executor = createOnnxExecutor(encodeModel(wholeModel(model)), async (location, offset, length) => {
      asked.push([location, offset, length]);
      return file.subarray(offset, offset + length);
    });
    if (!executor.ok) expect.fail('not loaded');
    for (const n of [1, 2]) {
      const result = await executor.value.run(
        new Map([['x', makeTensor('f32', [n, 3], new Float64Array(n * 3).fill(1))]]),
      );
      expect(result.ok && [...result.value.get('y')!.data].slice(0, 2)).toEqual([6, 15]);
    }
    expect(asked).toEqual([['w.safetensors', 5, 12]]);
  });

  test.each([
    [
      'a file that is gone',
      async () => Promise.reject(new Error('There is no "w.safetensors".')),
      'The tensor "w" cannot be read: There is no "w.safetensors".',
    ],
    [
      'a file that ends too soon',
      async () => new Uint8Array(3),
      'The tensor "w" got 3 bytes where bf16[2,3] takes 12.',
    ],
  ])('%s', async (_, read, message) => {
    const executor = createOnnxExecutor(encodeModel(wholeModel(model)), read);
    const result = executor.ok && (await executor.value.run(new Map([['x', makeTensor('f32', [1, 3])]])));
    expect(result ? result.diagnostics : []).toEqual([
      { severity: 'error', code: 'onnx-execution', location: { file: 'model.onnx', path: 'w' }, message },
    ]);
  });
});

describe('rounding', () => {
  test('after every node, to the type of its result', async () => {
    const bf16 = (name: string) => info(name, 'BFLOAT16', [1]);
    const graph = graphOf({
      nodes: [
        node('Mul', ['x', 'x'], ['square']),
        node('Add', ['square', 'big'], ['sum']),
        node('Sub', ['sum', 'big'], ['rest']),
        node('Cast', ['rest'], ['wide'], { to: int(1) }),
        node('Mul', ['wide', 'third'], ['y']),
      ],
      initializers: [inline('big', 'BFLOAT16', [1], [256]), inline('third', 'FLOAT', [], [1 / 3])],
      inputs: [bf16('x')],
      outputs: [bf16('square'), bf16('sum'), bf16('rest'), floatInfo('y', 1)],
    });
    // 1.7 is 1.703125 in bf16; its square 2.900… is 2.90625; 258.9… is 258 or 260; 260 - 256 is 4.
    const outputs = await runOurs(wholeModel(graph), new Map([['x', makeTensor('bf16', [1], [1.7])]]));
    expect([...outputs].map(([name, t]) => [name, t.data[0]])).toEqual([
      ['square', 2.90625],
      ['sum', 258],
      ['rest', 2],
      ['y', Math.fround(2 * Math.fround(1 / 3))],
    ]);
  });
});

describe('what does not work is named', () => {
  const good = graphOf({
    nodes: [{ ...node('Add', ['x', 'w'], ['h']), name: '/layer.0/add' }, node('Neg', ['h'], ['y'])],
    initializers: [inline('w', 'FLOAT', [2], [1, 2])],
    inputs: [floatInfo('x', 'n', 2)],
    outputs: [floatInfo('y', 'n', 2)],
    valueInfo: [floatInfo('h', 'n', 2)],
  });
  const [add, neg] = good.nodes as [OnnxNode, OnnxNode];

  async function messages(
    graph: OnnxGraph,
    feeds: ReadonlyMap<string, Tensor> = new Map([['x', makeTensor('f32', [3, 2])]]),
  ) {
    const executor = createOnnxExecutor(encodeModel(wholeModel(graph)), async () => new Uint8Array(), 'a.onnx');
    const result = executor.ok ? await executor.value.run(feeds) : executor;
    expect(result.diagnostics.every((d) => d.location?.file === 'a.onnx')).toBe(true);
    return result.diagnostics.map((d) => d.message);
  }

  test('nothing, when all is well', async () => {
    expect(await messages(good)).toEqual([]);
  });

  test('operators that are not known, all at once, in bodies too', async () => {
    const inner = body({ nodes: [{ ...node('GridSample', [], []), name: 'inside' }] });
    const nodes = [
      { ...add, opType: 'Plus' },
      { ...neg, name: 'n', domain: 'ai.onnx.ml' },
      node('If', [], [], { then_branch: inner }),
    ];
    expect(await messages({ ...good, nodes })).toEqual([
      'The node "/layer.0/add" (Plus) has an operator that rtc cannot execute.',
      'The node "n" (ai.onnx.ml.Neg) has an operator that rtc cannot execute.',
      'The node "inside" (GridSample) has an operator that rtc cannot execute.',
    ]);
  });

  test.each<[string, Partial<OnnxGraph>, string]>([
    [
      'a value from nowhere',
      { nodes: [{ ...add, inputs: ['x', 'v'] }, neg] },
      'The node "/layer.0/add" (Add) uses "v", which nothing has made before.',
    ],
    ['nodes out of order', { nodes: [neg, add] }, 'uses "h", which nothing has made before.'],
    ['an output from nowhere', { nodes: [add] }, 'The output "y" is made by no node.'],
    [
      'shapes that do not fit',
      { initializers: [inline('w', 'FLOAT', [3], [1, 2, 3])] },
      'it cannot broadcast f32[3,2] and f32[3].',
    ],
    ['types that do not fit', { initializers: [inline('w', 'INT64', [2], [1, 2])] }, 'it combines f32 and i64.'],
    [
      'another type than declared',
      { valueInfo: [info('h', 'DOUBLE', ['n', 2])] },
      'it makes f32[3,2] of "h", which is declared DOUBLE[n,2].',
    ],
    [
      'another shape than declared',
      { outputs: [floatInfo('y', 'n+1', 2)] },
      'it makes f32[3,2] of "y", which is declared FLOAT[n+1,2].',
    ],
    [
      'an attribute of another kind',
      { nodes: [{ ...add, opType: 'Concat', attributes: { axis: { kind: 'float', value: 0 } } }, neg] },
      'it has an attribute axis of kind float.',
    ],
    ['no attribute', { nodes: [{ ...add, opType: 'Concat' }, neg] }, 'it has no attribute axis.'],
    ['no input', { nodes: [{ ...add, inputs: ['x'] }, neg] }, 'it has no input 1.'],
    [
      'an axis that is not there',
      { nodes: [{ ...add, opType: 'Concat', attributes: { axis: int(2) } }, neg] },
      'it has no axis 2 of 2.',
    ],
    [
      'a weight of the wrong length',
      { initializers: [{ ...inline('w', 'FLOAT', [2], [1, 2]), dims: [3] }] },
      'The tensor "w" has 8 bytes where f32[3] takes 12.',
    ],
    [
      'a weight of a foreign type',
      { initializers: [{ ...inline('w', 'FLOAT', [2], [1, 2]), elementType: 'STRING' }] },
      'The tensor "w" has element type STRING',
    ],
    [
      'an input of a foreign type',
      { inputs: [info('x', 'COMPLEX64', [2])] },
      'The input "x" has no type that rtc computes with.',
    ],
  ])('%s', async (_, change, message) => {
    expect(await messages({ ...good, ...change })).toEqual([expect.stringContaining(message)]);
  });

  test('inputs that contradict', async () => {
    expect(await messages(good, new Map([['x', makeTensor('f32', [3, 4])]]))).toEqual([
      'The inputs do not fit: axis 1 of the input "x" is 2: 2, but is given 4.',
    ]);
    expect(await messages(good, new Map())).toEqual([
      'The inputs do not fit: there is no tensor for the input "x" f32[n,2].',
    ]);
  });

  test('bytes that are no model', () => {
    const result = createOnnxExecutor(new Uint8Array([1, 2, 3]), async () => new Uint8Array(), 'a.onnx');
    expect(result.diagnostics.map((d) => d.code)).toEqual(['invalid-onnx']);
  });
});
