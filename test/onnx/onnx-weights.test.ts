import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeSafetensors } from '../../files/write-safetensors.ts';
import { graphBuilder } from '../../ir/builder.ts';
import type { DType } from '../../ir/dtype.ts';
import type { Graph } from '../../ir/graph.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { encodeTensor } from '../../ir/tensor-bytes.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { type FileWeight, literal, type WeightExpr } from '../../ir/weights.ts';
import { lowerToModel, lowerToOnnx } from '../../targets/onnx/lower.ts';
import type { OnnxModel } from '../../targets/onnx/onnx-model.ts';
import { expectClose } from '../support/expect-close.ts';
import { randomTensor } from '../support/random-tensors.ts';
import { loadOnnx } from './run-onnx.ts';

const shapes = {
  table: ['bf16', [7, 4]],
  square: ['f32', [4, 4]],
  narrow: ['bf16', [2, 4]],
  tall: ['f32', [4, 2]],
  norm: ['f16', [4]],
} as const satisfies Record<string, readonly [DType, readonly number[]]>;

let folder: string;
let file: Readonly<Record<keyof typeof shapes, FileWeight>>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-weights-'));
  const absolutePath = join(folder, 'model.safetensors');
  const written = await writeSafetensors(
    { absolutePath, path: 'model.safetensors', shown: 'model.safetensors' },
    Object.entries(shapes).map(([name, [dtype, shape]]) => ({ name, dtype, shape })),
    ({ name, dtype, shape }) => [encodeTensor(dtype, randomTensor(dtype, shape, name).data)],
  );
  if (!written.ok) expect.fail('the weights could not be written');
  const weights = [...written.value.tensors.values()].map(({ name, dtype, shape, offset, length }) => [
    name,
    { kind: 'file', file: 'model.safetensors', tensor: name, dtype, dims: shape, offset, length },
  ]);
  file = Object.fromEntries(weights);
});

afterAll(() => rmSync(folder, { recursive: true }));

const f32 = (of: WeightExpr): WeightExpr => ({ kind: 'cast', to: 'f32', of });

/** Every kind of expression, where it lies, and how many tensors are generated for it. */
const expressions: Readonly<Record<string, readonly [generated: number, linked: boolean, () => WeightExpr]>> = {
  file: [0, true, () => file.square],
  cast: [0, true, () => f32(file.table)],
  'cast down': [0, true, () => f32({ kind: 'cast', to: 'f16', of: file.square })],
  transpose: [0, true, () => ({ kind: 'transpose', of: f32(file.table), perm: [1, 0] })],
  offset: [0, true, () => ({ kind: 'offset', of: f32(file.norm), by: 1 })],
  concat: [0, true, () => ({ kind: 'concat', axis: 0, of: [file.square, f32(file.table), f32(file.narrow)] })],
  'concat with nothing': [
    0,
    true,
    () => ({ kind: 'concat', axis: 0, of: [literal('f32', [0, 4], []), file.square, literal('f32', [0, 4], [])] }),
  ],
  'stack of equal shapes': [0, true, () => ({ kind: 'stack', of: [file.square, file.square] })],
  'stack with padding': [
    0,
    true,
    () => ({ kind: 'stack', of: [f32(file.narrow), literal('f32', [0, 4], []), f32(file.table)] }),
  ],
  'stack padded along both axes, in 16 bits': [
    0,
    true,
    () => f32({ kind: 'stack', of: [file.narrow, { kind: 'transpose', of: file.narrow, perm: [1, 0] }, file.table] }),
  ],
  'small literal': [0, false, () => literal('f32', [2, 2], [1, -0, 3, 0.1])],
  'large literal': [
    1,
    false,
    () =>
      literal(
        'f32',
        [2000],
        Array.from({ length: 2000 }, (_, i) => i),
      ),
  ],
  'nothing at all': [0, false, () => literal('f32', [0, 4], [])],
  merge: [1, false, () => merge(file.square)],
  'cast of a merge': [1, false, () => f32({ kind: 'cast', to: 'f16', of: merge(file.square) })],
  'concat of a merge': [1, true, () => ({ kind: 'concat', axis: 0, of: [merge(file.square), f32(file.table)] })],
};

function merge(base: WeightExpr): WeightExpr {
  return { kind: 'merge', base, a: f32(file.narrow), b: file.tall, scale: 0.5 };
}

test.each(Object.entries(expressions))('%s: the numbers, and what is written for them', async (_, [
  made,
  linked,
  of,
]) => {
  const expr = of();
  const graph = weightGraph({ weight: expr });
  const onnx = lowerToOnnx(graph, options);
  expect(onnx.generated).toHaveLength(made);
  expect(onnx.linked).toEqual(linked ? ['model.safetensors'] : []);
  await expectSame(graph, new Map(), 1e-6);
});

test.each(Object.entries(expressions))('%s, written as it is used', async (_, [, , of]) => {
  const graph = weightGraph({ weight: of() });
  const onnx = lowerToOnnx(graph, { ...options, materialize: true });
  expect(onnx.linked).toEqual([]);
  expect(onnx.generated.length).toBeLessThanOrEqual(1);
  const { model } = lowerToModel(graph, { ...options, materialize: true });
  expect(
    model.graph.nodes.map(({ opType }) => opType),
    'nothing is left to compute',
  ).toEqual(['Identity']);
  await expectSame(graph, new Map(), 1e-6, true);
});

test('one tensor of a file is one initializer, whatever is made of it', () => {
  const graph = weightGraph({
    plain: file.square,
    turned: { kind: 'transpose', of: file.square, perm: [1, 0] },
    twice: { kind: 'stack', of: [file.square, file.square] },
    joined: { kind: 'concat', axis: 0, of: [file.square, f32(file.table)] },
    looked: f32(file.table),
  });
  const { model } = lowerToModel(graph, options);
  expect(external(model)).toEqual(['square', 'table']);
  expect(count(model, 'Cast'), 'the cast of the table is shared').toBe(1);
});

test('rows are looked up in the table as it lies in the file, and cast then', async () => {
  const b = graphBuilder('embedding');
  const ids = b.input('ids', tensor('i64', ['batch', 'sequence']));
  const table = b.weight('table', f32(file.table));
  const hidden = b.add('gather', [table, ids], { axis: 0 });
  const rows = b.add('reshape', [hidden], { dims: ['batch*sequence', 4] });
  b.output('hidden', hidden);
  b.output('logits', b.add('linear', [rows, table], {}));
  const graph = b.finish('lowered');
  const { model } = lowerToModel(graph, options);
  expect(external(model), 'the head shares it').toEqual(['table']);
  const lookup = model.graph.nodes.find(({ opType }) => opType === 'Gather');
  expect(lookup?.inputs[0]).toBe('table');
  const inputs = new Map([['ids', makeTensor('i64', [2, 3], [0, 6, 3, 3, 1, 2])]]);
  await expectSame(graph, inputs, 1e-6);
});

test('written, what several types are made of is one initializer too, and so is a merge', async () => {
  const half = (of: WeightExpr): WeightExpr => ({ kind: 'cast', to: 'f16', of });
  const graph = weightGraph({
    embedding: half(file.table),
    head: f32(file.table),
    rounded: half(file.square),
    exact: file.square,
    once: f32(file.norm),
    merged: merge(file.square),
    smaller: half(merge(file.square)),
  });
  const { model, generated } = lowerToModel(graph, { ...options, materialize: true });
  expect(generated.map(({ name }) => name).sort()).toEqual(['embedding', 'merged', 'once', 'rounded']);
  expect(count(model, 'Cast')).toBe(4);
  await expectSame(graph, new Map(), 1e-6, true);
  expect(lowerToModel(graph, options).generated).toHaveLength(1);
});

test('weights that nothing uses stay out', () => {
  const b = graphBuilder('unused');
  b.weight('unused', file.square);
  b.output('out', b.weight('norm', file.norm));
  const { model, linked } = lowerToModel(b.finish('lowered'), options);
  expect(external(model)).toEqual(['norm']);
  expect(linked).toEqual(['model.safetensors']);
});

test('external data says where each tensor is, byte for byte', () => {
  const { model } = lowerToModel(weightGraph({ a: file.table, b: file.norm }), options);
  for (const { name, data, elementType, dims } of model.graph.initializers) {
    const { offset, length, file: location } = file[name as keyof typeof shapes];
    expect(data).toEqual({ kind: 'external', location, offset, length });
    expect([elementType, dims]).toEqual(name === 'table' ? ['BFLOAT16', [7, 4]] : ['FLOAT16', [4]]);
  }
  expect(model.graph.initializers).toHaveLength(2);
});

const options = { dialect: 'portable', fileName: 'model.onnx', version: '0', metadata: {} } as const;

/** A graph that returns weights. */
function weightGraph(weights: Readonly<Record<string, WeightExpr>>): Graph<'lowered'> {
  const b = graphBuilder('weights');
  for (const [name, expr] of Object.entries(weights)) b.output(`${name}.out`, b.weight(name, expr));
  return b.finish('lowered');
}

async function expectSame(
  graph: Graph<'lowered'>,
  inputs: ReadonlyMap<string, Tensor>,
  tolerance: number,
  materialize = false,
): Promise<void> {
  const onnx = await loadOnnx(lowerToOnnx(graph, { ...options, materialize }), folder);
  try {
    const readWeight = ({ tensor: name, dtype, dims }: FileWeight) => randomTensor(dtype, dims, name);
    const expected = await interpret(graph, inputs, { readWeight, round: true });
    const found = await onnx.run(inputs);
    for (const [name, value] of expected) expectClose(found.get(name)!, value, tolerance, name);
  } finally {
    await onnx.close();
  }
}

function external(model: OnnxModel): readonly string[] {
  return model.graph.initializers
    .filter(({ data }) => data.kind === 'external')
    .map(({ name }) => name)
    .sort();
}

function count(model: OnnxModel, opType: string): number {
  return model.graph.nodes.filter((node) => node.opType === opType).length;
}
