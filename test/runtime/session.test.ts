import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSession, RuntimeFailure } from '../../runtime/session.ts';
import type { OnnxElementType } from '../../targets/onnx/onnx-model.ts';
import { encodeModel } from '../../targets/onnx/proto.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-session-'));
});
afterAll(() => rm(scratch, { recursive: true }));

/** A file with the graph `twice = concat(x, x)` along the first axis, or with another operation. */
async function twice(elementType: OnnxElementType, opType = 'Concat'): Promise<string> {
  const path = join(scratch, `${elementType}-${opType}.onnx`);
  const bytes = encodeModel({
    irVersion: 10,
    opsets: [{ domain: '', version: 21 }],
    producerName: 'test',
    producerVersion: '',
    docString: '',
    metadata: {},
    graph: {
      name: 'twice',
      docString: '',
      nodes: [
        {
          name: '',
          opType,
          domain: '',
          inputs: ['x', 'x'],
          outputs: ['twice'],
          attributes: opType === 'Concat' ? { axis: { kind: 'int', value: 0 } } : {},
        },
      ],
      initializers: [],
      inputs: [{ name: 'x', elementType, dims: ['rows', 2] }],
      outputs: [{ name: 'twice', elementType, dims: ['2*rows', 2] }],
      valueInfo: [],
    },
  });
  await writeFile(path, bytes);
  return path;
}

async function open(path: string) {
  const session = await openSession(path, { threads: 1 });
  if (!session.ok) throw new Error(session.diagnostics[0]!.message);
  return session.value;
}

describe('a graph', () => {
  test('says what goes in and comes out, and computes', async () => {
    const session = await open(await twice('FLOAT'));
    expect(session.inputs).toEqual([{ name: 'x', type: 'f32', dims: ['rows', 2] }]);
    expect(session.outputs).toEqual([{ name: 'twice', type: 'f32', dims: ['2*rows', 2] }]);
    const outputs = await session.run({ x: { type: 'f32', dims: [1, 2], data: Float32Array.of(1, 2) } });
    expect(outputs).toEqual({ twice: { type: 'f32', dims: [2, 2], data: Float32Array.of(1, 2, 1, 2) } });
    await session.close();
  });

  test.each([
    ['FLOAT16', 'f16', Uint16Array.of(0x3c00, 0xc000)],
    ['INT64', 'i64', BigInt64Array.of(-1n, 2n ** 40n)],
    ['BOOL', 'bool', Uint8Array.of(1, 0)],
  ] as const)('takes its own outputs of type %s back as inputs', async (elementType, type, data) => {
    const session = await open(await twice(elementType));
    const once = await session.run({ x: { type, dims: [1, 2], data } });
    const again = await session.run({ x: once.twice! });
    expect(again.twice).toMatchObject({ type, dims: [4, 2] });
    const bytes = (array: ArrayBufferView) =>
      Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('hex');
    expect(bytes(again.twice!.data)).toBe(bytes(data).repeat(4));
    await session.close();
  });

  test('an input that is given once is read anew by every run', async () => {
    const session = await open(await twice('FLOAT'));
    const data = Float32Array.of(1, 2);
    const bound = session.bind({ x: { type: 'f32', dims: [1, 2], data } });
    expect((await bound.run({})).twice?.data).toEqual(Float32Array.of(1, 2, 1, 2));
    data[1] = 5;
    expect((await bound.run({}, ['twice'])).twice?.data).toEqual(Float32Array.of(1, 5, 1, 5));
    await session.close();
  });

  test('an input that does not fit is a failure that names the file', async () => {
    const session = await open(await twice('FLOAT'));
    const failed = session.run({ x: { type: 'f32', dims: [1, 3], data: new Float32Array(3) } });
    await expect(failed).rejects.toThrow(RuntimeFailure);
    await expect(failed).rejects.toMatchObject({
      diagnostic: { code: 'onnxruntime-failed', location: { file: 'FLOAT-Concat.onnx' } },
    });
    await session.close();
  });
});

describe('refused', () => {
  test('what is no model', async () => {
    await writeFile(join(scratch, 'broken.onnx'), 'no model');
    const session = await openSession(join(scratch, 'broken.onnx'));
    expect(session.ok ? [] : session.diagnostics).toMatchObject([{ code: 'onnxruntime-failed', severity: 'error' }]);
  });

  test('bfloat16 inside, which the CPU cannot multiply, with what to do', async () => {
    const session = await openSession(await twice('BFLOAT16', 'Mul'));
    expect(session.ok ? [] : session.diagnostics).toMatchObject([{ hint: expect.stringContaining('--precision') }]);
  });

  test('bfloat16 at the interface, with what to do', async () => {
    const session = await openSession(await twice('BFLOAT16'));
    expect(session.ok ? [] : session.diagnostics).toMatchObject([
      { code: 'onnxruntime-failed', hint: expect.stringContaining('--precision') },
    ]);
  });
});

/** What a process says that runs openSession with onnxruntime-node resolving as `resolution` says. */
async function openWithout(resolution: string): Promise<{ code: string; message: string; hint: string }> {
  const hook = `export async function resolve(name, context, next) {
    if (name === 'onnxruntime-node') { ${resolution} }
    return next(name, context);
  }`;
  const session = pathToFileURL(join(import.meta.dirname, '../../dist/runtime/session.js'));
  const script = `
    import { register } from 'node:module';
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));
    const { openSession } = await import('${session}');
    console.log(JSON.stringify((await openSession('any.onnx')).diagnostics[0]));`;
  const { stdout } = await execa(process.execPath, ['--input-type=module', '--eval', script]);
  return JSON.parse(stdout);
}

describe('onnxruntime-node', () => {
  test('not installed: how to install it, also offline', async () => {
    const diagnostic = await openWithout(
      `throw Object.assign(new Error("Cannot find package 'onnxruntime-node'"), { code: 'ERR_MODULE_NOT_FOUND' });`,
    );
    expect(diagnostic.code).toBe('onnxruntime-missing');
    expect(diagnostic.hint).toContain('npm install onnxruntime-node');
    expect(diagnostic.hint).toContain('ONNXRUNTIME_NODE_INSTALL=skip');
  });

  test('installed without a binary for this machine: says so', async () => {
    const diagnostic = await openWithout(`throw new Error('libonnxruntime.so.1: cannot open shared object file');`);
    expect(diagnostic.code).toBe('onnxruntime-missing');
    expect(diagnostic.message).toContain('libonnxruntime.so.1');
    expect(diagnostic.hint).toContain(process.arch);
  });
});
