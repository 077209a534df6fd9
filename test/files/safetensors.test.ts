import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTensorChunks, readTensorSync } from '../../files/read-tensor.ts';
import { readSafetensors } from '../../files/safetensors.ts';
import { layoutSafetensors, type TensorShape, writeSafetensors } from '../../files/write-safetensors.ts';
import { decodeTensor, encodeTensor } from '../../ir/tensor-bytes.ts';
import { joinSafetensors } from '../support/safetensors-bytes.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-safetensors-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function read(bytes: Buffer) {
  const path = join(folder, 'x.safetensors');
  writeFileSync(path, bytes);
  return readSafetensors(path, { path: 'x.safetensors', shown: 'given/x.safetensors' });
}

describe('what is wrong with a file', () => {
  const f32 = (begin: number, end: number, shape: readonly unknown[] = [(end - begin) / 4]) => ({
    dtype: 'F32',
    shape,
    data_offsets: [begin, end],
  });
  const data = Buffer.alloc(16);
  const cases: readonly {
    readonly title: string;
    readonly bytes: Buffer;
    readonly code: string;
    readonly says: string;
    readonly path?: string;
  }[] = [
    { title: 'empty', bytes: Buffer.alloc(0), code: 'truncated-file', says: 'has 0 bytes' },
    { title: 'seven bytes', bytes: Buffer.alloc(7), code: 'truncated-file', says: 'has 7 bytes' },
    {
      title: 'a header that would be 2^63 bytes long',
      bytes: joinSafetensors({}, data, 2n ** 63n),
      code: 'header-too-large',
      says: '9223372036854775808 bytes; at most 100000000',
    },
    {
      title: 'a header longer than the file',
      bytes: joinSafetensors({}, data, 1000n),
      code: 'truncated-file',
      says: 'says that it has 1000 bytes, but the file has only 18',
    },
    { title: 'a header that is not JSON', bytes: joinSafetensors('{"a":'), code: 'invalid-header', says: 'not JSON' },
    { title: 'an empty header', bytes: joinSafetensors(''), code: 'invalid-header', says: 'not JSON' },
    { title: 'a header that is a list', bytes: joinSafetensors('[]'), code: 'invalid-header', says: 'an empty list' },
    {
      title: 'a header in UTF-16',
      bytes: joinSafetensors('{"\u00ff":1}'.replace('\u00ff', '\ud800')),
      code: 'invalid-header',
      says: 'entry for tensor',
    },
    {
      title: 'a tensor twice',
      bytes: joinSafetensors(`{"a":${JSON.stringify(f32(0, 16))},"a":${JSON.stringify(f32(0, 16))}}`, data),
      code: 'duplicate-key',
      says: 'The key "a" stands twice',
      path: 'a',
    },
    {
      title: 'a shape twice',
      bytes: joinSafetensors('{"a":{"dtype":"F32","shape":[4],"shape":[4],"data_offsets":[0,16]}}', data),
      code: 'duplicate-key',
      says: 'The key "shape" stands twice',
    },
    {
      title: 'a tensor named __proto__',
      bytes: joinSafetensors(`{"__proto__":${JSON.stringify(f32(0, 16))}}`, data),
      code: 'forbidden-key',
      says: '"__proto__"',
    },
    {
      title: 'an entry that is a number',
      bytes: joinSafetensors({ a: 3 }),
      code: 'invalid-header',
      says: 'is 3; an object',
    },
    {
      title: 'an entry with a key of its own',
      bytes: joinSafetensors({ a: { ...f32(0, 16), strides: [1] } }, data),
      code: 'invalid-header',
      says: '"strides"',
    },
    {
      title: 'a type of 8-bit floats',
      bytes: joinSafetensors({ a: { ...f32(0, 16, [16]), dtype: 'F8_E4M3' } }, data),
      code: 'unsupported-dtype',
      says: '"F8_E4M3"; rtc reads F64, F32, F16, BF16, I64, I32, I8, U8, BOOL',
    },
    {
      title: 'a type that every object has',
      bytes: joinSafetensors({ a: { ...f32(0, 16), dtype: 'toString' } }, data),
      code: 'unsupported-dtype',
      says: '"toString"',
    },
    {
      title: 'no type',
      bytes: joinSafetensors({ a: { shape: [], data_offsets: [0, 4] } }, data),
      code: 'unsupported-dtype',
      says: 'nothing',
    },
    ...[[-1], [1.5], ['4'], [2 ** 53], 4, null].map((shape) => ({
      title: `the shape ${JSON.stringify(shape)}`,
      bytes: joinSafetensors({ a: { dtype: 'F32', shape, data_offsets: [0, 16] } }, data),
      code: 'invalid-shape',
      says: 'a list of whole numbers from 0',
    })),
    {
      title: 'a shape whose product no number holds',
      bytes: joinSafetensors({ a: f32(0, 16, [2 ** 40, 2 ** 40]) }, data),
      code: 'invalid-shape',
      says: 'more elements than a file can hold',
    },
    ...[[0], [0, 8, 16], [-4, 12], [0, 0.5], 'x', null].map((offsets) => ({
      title: `the offsets ${JSON.stringify(offsets)}`,
      bytes: joinSafetensors({ a: { dtype: 'F32', shape: [4], data_offsets: offsets } }, data),
      code: 'invalid-offsets',
      says: 'two whole numbers from 0',
    })),
    {
      title: 'offsets reversed',
      bytes: joinSafetensors({ a: f32(16, 0, [4]) }, data),
      code: 'invalid-offsets',
      says: 'ends at byte 0, before',
    },
    {
      title: 'more bytes than the shape takes',
      bytes: joinSafetensors({ a: f32(0, 16, [3]) }, data),
      code: 'invalid-offsets',
      says: 'shape [3] takes 12 bytes, but its data_offsets span 16',
    },
    {
      title: 'a tensor beyond the end',
      bytes: joinSafetensors({ a: f32(0, 20) }, data),
      code: 'tensor-out-of-range',
      says: 'bytes 0 to 20 of the data, but the file has only 16',
      path: 'a',
    },
    {
      title: 'two tensors that overlap',
      bytes: joinSafetensors({ a: f32(0, 12), b: f32(8, 16) }, data),
      code: 'overlapping-tensors',
      says: '"a" and "b" overlap: "b" begins at byte 8, before byte 12',
    },
    {
      title: 'two tensors in one place',
      bytes: joinSafetensors({ a: f32(0, 16), b: f32(0, 16) }, data),
      code: 'overlapping-tensors',
      says: 'overlap',
    },
    {
      title: 'a gap at the start',
      bytes: joinSafetensors({ a: f32(4, 16) }, data),
      code: 'data-gap',
      says: 'Bytes 0 to 4',
    },
    {
      title: 'a gap between',
      bytes: joinSafetensors({ a: f32(0, 4), b: f32(8, 16) }, data),
      code: 'data-gap',
      says: 'Bytes 4 to 8 of the data, before tensor "b"',
    },
    {
      title: 'bytes left over',
      bytes: joinSafetensors({ a: f32(0, 12) }, data),
      code: 'data-gap',
      says: 'Bytes 12 to 16',
    },
    {
      title: 'metadata that is no object',
      bytes: joinSafetensors({ __metadata__: ['pt'] }),
      code: 'invalid-header',
      says: '"__metadata__" must be an object whose values are strings',
    },
    {
      title: 'metadata with a number in it',
      bytes: joinSafetensors({ __metadata__: { epoch: 3 } }),
      code: 'invalid-header',
      says: '"__metadata__" must be',
    },
    {
      title: 'brackets without end',
      bytes: joinSafetensors(`{"a":${'['.repeat(1e5)}${']'.repeat(1e5)}}`),
      code: 'invalid-header',
      says: 'nests deeper',
    },
  ];
  test.each(cases)('$title', async ({ bytes, code, says, path }) => {
    const result = await read(bytes);
    expect(result.ok).toBe(false);
    const found = result.diagnostics.find((d) => d.code === code && d.message.includes(says));
    expect(found, JSON.stringify(result.diagnostics)).toBeDefined();
    expect(found?.location?.file).toBe('given/x.safetensors');
    if (path !== undefined) expect(found?.location?.path).toBe(path);
  });

  test('no file, and a folder', async () => {
    const names = { path: 'x', shown: 'x' };
    expect((await readSafetensors(join(folder, 'none'), names)).diagnostics[0]?.code).toBe('missing-file');
    expect((await readSafetensors(folder, names)).diagnostics[0]?.code).toBe('not-a-file');
  });

  test('a thousand tensors beyond the end are told in four sentences', async () => {
    const header = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`t${i}`, f32(i * 4, i * 4 + 4)]));
    const result = await read(joinSafetensors(header));
    expect(result.diagnostics).toHaveLength(4);
    expect(result.diagnostics[3]?.message).toContain('997 more');
  });
});

test('empty tensors, scalars and a file without tensors are fine', async () => {
  const header = {
    none: { dtype: 'F32', shape: [0, 5], data_offsets: [0, 0] },
    scalar: { dtype: 'I64', shape: [], data_offsets: [0, 8] },
  };
  expect(await read(joinSafetensors(header, Buffer.alloc(8)))).toMatchObject({ ok: true, diagnostics: [] });
  expect(await read(joinSafetensors({}))).toMatchObject({ ok: true });
  expect(await read(joinSafetensors('{}      '))).toMatchObject({ ok: true });
});

test('no bytes whatever make the reader throw', async () => {
  const prefixed = fc
    .tuple(fc.integer({ min: 0, max: 80 }), fc.oneof(fc.json(), fc.string()), fc.uint8Array({ maxLength: 40 }))
    .map(([length, text, rest]) => joinSafetensors(text, Buffer.from(rest), BigInt(length)));
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
    prefixed,
    fc.json().map((text) => joinSafetensors(text)),
  );
  await fc.assert(
    fc.asyncProperty(any, async (bytes) => {
      const result = await read(bytes);
      if (!result.ok) expect(result.diagnostics.length).toBeGreaterThan(0);
    }),
    { numRuns: 400 },
  );
});

describe('writing', () => {
  const tensors: readonly TensorShape[] = [
    { name: 'b', dtype: 'bf16', shape: [3] },
    { name: '10', dtype: 'f32', shape: [2] },
    { name: '9', dtype: 'f32', shape: [] },
    { name: 'a', dtype: 'bool', shape: [1] },
    { name: 'c', dtype: 'i64', shape: [0] },
  ];
  const chunksOf = (tensor: TensorShape) => {
    const count = tensor.shape.reduce((product, dim) => product * dim, 1);
    const bytes = encodeTensor(
      tensor.dtype,
      Array.from({ length: count }, (_, i) => i + 1),
    );
    // One byte at a time: chunks need not respect elements.
    return [...bytes].map((byte) => Uint8Array.of(byte));
  };

  test('what is written reads back, aligned, in the order of Hugging Face, and hashes as it was told', async () => {
    const path = join(folder, 'written.safetensors');
    const file = { absolutePath: path, path: 'written.safetensors', shown: 'written.safetensors' };
    const written = await writeSafetensors(file, tensors, chunksOf, { z: '1', format: 'pt' });
    const back = await readSafetensors(path, file);
    if (!written.ok || !back.ok) throw new Error(JSON.stringify([written.diagnostics, back.diagnostics]));
    expect([...back.value.tensors]).toEqual([...written.value.tensors]);
    expect({ ...back.value, tensors: 0 }).toEqual({ ...written.value, tensors: 0 });
    expect([...back.value.tensors.keys()].toSorted()).toEqual(['10', '9', 'a', 'b', 'c']);
    const byOffset = [...written.value.tensors.values()].map((t) => t.name);
    expect(byOffset).toEqual(['c', '10', '9', 'b', 'a']);
    for (const t of back.value.tensors.values())
      expect(t.offset % { i64: 8, f32: 4, bf16: 2, bool: 1 }[t.dtype as 'f32']).toBe(0);
    const bytes = readFileSync(path);
    expect(back.value.dataStart % 8).toBe(0);
    expect(back.value.headerHash).toBe(
      createHash('sha256').update(bytes.subarray(0, back.value.dataStart)).digest('hex'),
    );
    expect([...decodeTensor('bf16', readTensorSync(path, back.value.tensors.get('b')!))]).toEqual([1, 2, 3]);
  });

  test('the order in which tensors come changes nothing', () => {
    const one = layoutSafetensors(tensors, { a: '1', b: '2' });
    const other = layoutSafetensors(tensors.toReversed(), { b: '2', a: '1' });
    expect(Buffer.from(other.header).toString()).toBe(Buffer.from(one.header).toString());
    expect(other.entries).toEqual(one.entries);
  });

  test('too few bytes for a tensor are a bug of ours', async () => {
    const file = { absolutePath: join(folder, 'short'), path: 'short', shown: 'short' };
    await expect(writeSafetensors(file, tensors, () => [])).rejects.toThrow('has 8 bytes, 0 were given');
  });

  test('a place that is not there is a diagnostic', async () => {
    const file = { absolutePath: join(folder, 'no', 'x'), path: 'x', shown: 'out/x' };
    const missing = await writeSafetensors(file, tensors, chunksOf);
    expect(missing.diagnostics[0]).toMatchObject({ code: 'bad-path', location: { file: 'out/x' } });
  });

  test.skipIf(!existsSync('/dev/full'))('a full disk is a diagnostic', async () => {
    const file = { absolutePath: '/dev/full', path: 'x', shown: 'out/x' };
    const full = await writeSafetensors(file, tensors, chunksOf);
    expect(full.diagnostics[0]).toMatchObject({ code: 'disk-full', location: { file: 'out/x' } });
  });
});

describe('reading one tensor', () => {
  test('in chunks of any size, and whole', async () => {
    const path = join(folder, 'range');
    writeFileSync(path, Buffer.from(Array.from({ length: 100 }, (_, i) => i)));
    const range = { offset: 13, length: 50 };
    const expected = Array.from({ length: 50 }, (_, i) => 13 + i);
    expect([...readTensorSync(path, range)]).toEqual(expected);
    for (const size of [1, 7, 50, 64]) {
      const all: number[] = [];
      for await (const chunk of readTensorChunks(path, range, size)) all.push(...chunk);
      expect(all).toEqual(expected);
    }
  });

  test('a file that became shorter is told, not padded', async () => {
    const path = join(folder, 'shorter');
    writeFileSync(path, Buffer.alloc(10));
    const range = { offset: 4, length: 8 };
    expect(() => readTensorSync(path, range)).toThrow('ends before byte 12');
    await expect(readTensorChunks(path, range).next()).rejects.toThrow('ends before byte 12');
  });
});
