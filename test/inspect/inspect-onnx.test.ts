import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatInspection } from '../../compiler/inspect/format-inspection.ts';
import { inspect } from '../../compiler/inspect/inspect.ts';
import type { OnnxInspection } from '../../compiler/inspect/inspection.ts';
import type { OnnxGraph, OnnxModel, OnnxNode, OnnxTensor } from '../../targets/onnx/onnx-model.ts';
import { encodeModel } from '../../targets/onnx/proto.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-inspect-'));
});
afterAll(() => rm(scratch, { recursive: true }));

function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  more: Partial<OnnxNode> = {},
): OnnxNode {
  return { name: '', opType, domain: '', inputs, outputs, attributes: {}, ...more };
}

function inline(name: string, dims: readonly number[]): OnnxTensor {
  const bytes = new Uint8Array(4 * dims.reduce((product, dim) => product * dim, 1));
  return { name, elementType: 'FLOAT', dims, data: { kind: 'inline', bytes } };
}

function external(name: string, offset: number, length: number): OnnxTensor {
  return {
    name,
    elementType: 'BFLOAT16',
    dims: [length / 2],
    data: { kind: 'external', location: 'w.bin', offset, length },
  };
}

function model(graph: Partial<OnnxGraph>, more: Partial<OnnxModel> = {}): Uint8Array {
  return encodeModel({
    irVersion: 8,
    opsets: [{ domain: '', version: 17 }],
    producerName: 'somebody',
    producerVersion: '2',
    docString: '',
    metadata: {},
    graph: { name: 'g', docString: '', nodes: [], initializers: [], inputs: [], outputs: [], valueInfo: [], ...graph },
    ...more,
  });
}

async function inspectBytes(bytes: Uint8Array, name = 'model.onnx'): Promise<OnnxInspection> {
  const path = join(scratch, name);
  await writeFile(path, bytes);
  const inspected = await inspect(path);
  if (!inspected.ok || inspected.value.kind !== 'onnx') throw new Error('not inspected');
  return inspected.value;
}

/** The lines of one section, without indentation. */
function section(inspection: OnnxInspection, title: string): readonly string[] {
  const lines = formatInspection(inspection, (text) => text).split('\n');
  const start = lines.indexOf(title) + 1;
  return lines.slice(start, lines.indexOf('', start)).map((line) => line.trim());
}

describe("other people's models", () => {
  test('unknown operators and domains are counted, bodies included', async () => {
    const body: OnnxGraph = {
      name: 'body',
      docString: '',
      nodes: [node('Add', ['x', 'w'], ['y']), node('Magic', ['y'], ['z'], { domain: 'com.example' })],
      initializers: [],
      inputs: [],
      outputs: [],
      valueInfo: [],
    };
    const found = await inspectBytes(
      model({
        nodes: [
          node('Loop', ['n', '', 'x'], ['r'], { attributes: { body: { kind: 'graph', value: body } } }),
          node('Add', ['r', 'w'], ['s']),
        ],
        initializers: [inline('w', [2, 3])],
      }),
    );
    expect(found.nodes).toBe(4);
    expect(found.operators).toEqual([
      { operator: 'Add', count: 2 },
      { operator: 'Loop', count: 1 },
      { operator: 'com.example:Magic', count: 1 },
    ]);
    // Once in the body, once outside of it.
    expect(found.initializers.shared).toEqual([{ name: 'w', type: 'FLOAT', dims: [2, 3], bytes: 24, uses: 2 }]);
  });

  test('what is done to a weight on its way is no use of it', async () => {
    const found = await inspectBytes(
      model({
        nodes: [
          node('Cast', ['a'], ['a32']),
          node('Concat', ['a32', 'b'], ['ab']),
          node('MatMul', ['x', 'ab'], ['y']),
          node('MatMul', ['y', 'ab'], ['z']),
          node('MatMul', ['z', 'a32'], ['out']),
        ],
        initializers: [inline('a', [2]), inline('b', [2])],
        inputs: [{ name: 'x', elementType: 'FLOAT', dims: undefined }],
      }),
    );
    expect(found.initializers.shared.map(({ name, uses }) => [name, uses])).toEqual([
      ['a', 3],
      ['b', 2],
    ]);
  });

  test('external files are counted by the bytes that are read of them, and may be missing', async () => {
    const initializers = [external('a', 0, 8), external('again', 0, 8), external('b', 8, 4)];
    const missing = await inspectBytes(model({ initializers }));
    expect(missing.initializers.external).toEqual([{ location: 'w.bin', tensors: 3, bytes: 12, fileBytes: undefined }]);
    await writeFile(join(scratch, 'w.bin'), new Uint8Array(100));
    const there = await inspectBytes(model({ initializers }));
    expect(there.initializers.external[0]?.fileBytes).toBe(100);
    expect(section(there, 'Weights')).toContain('external      3, 12 B of w.bin (100 B)');
  });

  test('initializers that are inputs, too, are none that anybody passes', async () => {
    const found = await inspectBytes(
      model({
        initializers: [inline('w', [1])],
        inputs: [
          { name: 'w', elementType: 'FLOAT', dims: [1] },
          { name: 'x', elementType: undefined, dims: undefined },
          { name: 'y', elementType: 'INT64', dims: ['n', undefined, 3] },
        ],
      }),
    );
    expect(found.inputs).toEqual([
      { name: 'x', type: '?', dims: ['…'] },
      { name: 'y', type: 'INT64', dims: ['n', '?', 3] },
    ]);
  });

  test('functions of the model, which rtc never writes, are no obstacle', async () => {
    // Field 25 of ModelProto, a FunctionProto with a name.
    const functions = Uint8Array.of(0xca, 0x01, 0x04, 0x0a, 0x02, 0x66, 0x6e);
    const bytes = Buffer.concat([model({ nodes: [node('fn', ['x'], ['y'], { domain: 'local' })] }), functions]);
    expect((await inspectBytes(bytes)).operators).toEqual([{ operator: 'local:fn', count: 1 }]);
  });

  test('names cannot write to the terminal', async () => {
    const found = await inspectBytes(
      model(
        {
          nodes: [node('Op\u001b[31m', [], ['y'])],
          inputs: [{ name: 'in\nput', elementType: 'FLOAT', dims: ['\u0007'] }],
        },
        { metadata: { 'k\u001b': 'v\u0000' }, producerName: '\u009b2J' },
      ),
    );
    const text = formatInspection(found, (line) => line);
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    expect(text).toContain('Op\\u{1b}[31m');
  });

  test('a model without anything in it', async () => {
    const found = await inspectBytes(model({}, { opsets: [], producerName: '', producerVersion: '' }));
    expect(found).toMatchObject({ nodes: 0, operators: [], producer: '', initializers: { count: 0, shared: [] } });
    expect(section(found, 'Weights')).toEqual(['none']);
  });
});

test('neighbours that differ by a number are one line, and columns line up', async () => {
  const cache = (i: number, part: string) => ({
    name: `past_key_values.${i}.${part}`,
    elementType: 'FLOAT' as const,
    dims: ['batch', 2, 'past', 8],
  });
  const found = await inspectBytes(
    model({
      inputs: [
        { name: 'input_ids', elementType: 'INT64', dims: ['batch', 'sequence'] },
        ...[0, 1, 2].flatMap((i) => [cache(i, 'key'), cache(i, 'value')]),
      ],
    }),
  );
  expect(section(found, 'Inputs')).toEqual([
    'input_ids                        int64  [batch, sequence]',
    'past_key_values.{0…2}.key|value  float  [batch, 2, past, 8]',
  ]);
});

describe('refused', () => {
  test.each([
    ['empty.onnx', new Uint8Array(), 'invalid-onnx'],
    ['text.onnx', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1'), 'invalid-onnx'],
    ['what.xyz', new Uint8Array(), 'unknown-kind'],
  ])('%s', async (name, bytes, code) => {
    await writeFile(join(scratch, name), bytes);
    const inspected = await inspect(join(scratch, name));
    expect(inspected.ok ? [] : inspected.diagnostics.map((d) => d.code)).toEqual([code]);
  });

  test('a file beyond what a protobuf can be, without reading it', async () => {
    const path = join(scratch, 'huge.onnx');
    await writeFile(path, '');
    // Sparse: it takes no room on the disk.
    await truncate(path, 2 ** 31);
    const inspected = await inspect(path);
    expect(inspected.diagnostics[0]).toMatchObject({ code: 'invalid-onnx', message: expect.stringContaining('2 GiB') });
  });
});

test('whatever the bytes are, the answer is an inspection or a diagnostic', async () => {
  const whole = model({
    nodes: [node('Add', ['x', 'w'], ['y']), node('Cast', ['w'], ['v'])],
    initializers: [inline('w', [2, 3]), external('a', 0, 8)],
    inputs: [{ name: 'x', elementType: 'FLOAT', dims: ['n', 3] }],
  });
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
  const path = join(scratch, 'damaged.onnx');
  await fc.assert(
    fc.asyncProperty(damage, fc.nat(whole.length), async (changes, length) => {
      const bytes = whole.slice(0, Math.max(length, whole.length / 2));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      await writeFile(path, bytes);
      const inspected = await inspect(path);
      if (inspected.ok) formatInspection(inspected.value, (text) => text);
      else expect(inspected.diagnostics[0]?.code).toBe('invalid-onnx');
    }),
    { numRuns: 300 },
  );
});
