import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { weightBytes } from '../../compiler/package/weight-bytes.ts';
import { openWeightFiles, type WeightFiles } from '../../compiler/package/weight-files.ts';
import { weightReader } from '../../compiler/package/weight-reader.ts';
import { byteLength, type DType, type FloatDType } from '../../ir/dtype.ts';
import { evaluateWeight } from '../../ir/interpret/evaluate-weight.ts';
import { makeTensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor, encodeTensor } from '../../ir/tensor-bytes.ts';
import { type FileWeight, literal, type WeightExpr, weightType } from '../../ir/weights.ts';

let folder: string;
let files: WeightFiles;
const data = Buffer.alloc(2 ** 23);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rtc-test-'));
  // Random, but with the exponent's first bit clear in every 16-bit half: no NaN, whose bits conversions may change.
  let state = 12345;
  for (let i = 0; i < data.length; i += 2) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    data.writeUInt16LE((state >>> 16) & 0xbfff, i);
  }
  await writeFile(join(folder, 'data'), data);
  files = openWeightFiles((file) => join(folder, file));
});

afterAll(async () => {
  await files.close();
  await rm(folder, { recursive: true });
});

function stored(dtype: DType, dims: readonly number[], offset: number): FileWeight {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return { kind: 'file', file: 'data', tensor: 'x', dtype, dims, offset, length: byteLength(dtype, count) };
}

/** The same bytes by way of the interpreter, which holds everything at once. */
async function evaluated(expr: WeightExpr): Promise<Float64Array> {
  const readWeight = (file: FileWeight) => {
    const bytes = data.subarray(file.offset, file.offset + file.length);
    return makeTensor(file.dtype, file.dims, decodeTensor(file.dtype, bytes));
  };
  return (await evaluateWeight(expr, { readWeight, round: true, cache: new Map() })).data;
}

async function streamed(expr: WeightExpr): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of weightBytes(expr, files)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const dim = fc.integer({ min: 1, max: 5 });
const floatType = fc.constantFrom<FloatDType>('f32', 'f16', 'bf16');
const leafOf = (dtype: FloatDType, dims: readonly number[]): fc.Arbitrary<WeightExpr> =>
  fc.integer({ min: 0, max: 2500 }).map((half) => stored(dtype, dims, 2 * half));

/** A weight of the given type and dims, of any kind of expression up to `depth` deep. */
function weightOf(dtype: FloatDType, dims: readonly number[], depth: number): fc.Arbitrary<WeightExpr> {
  const leaf = leafOf(dtype, dims);
  if (depth === 0) return leaf;
  const below = (d: readonly number[], t: FloatDType = dtype) => weightOf(t, d, depth - 1);
  const choices: fc.Arbitrary<WeightExpr>[] = [
    leaf,
    floatType.chain((from) => below(dims, from)).map((of) => ({ kind: 'cast', of, to: dtype })),
    below(dims).map((of) => ({ kind: 'offset', of, by: 1 })),
    fc
      .shuffledSubarray(
        dims.map((_, axis) => axis),
        { minLength: dims.length },
      )
      .chain((perm) => {
        const before = dims.map((_, axis) => dims[perm.indexOf(axis)]!);
        return below(before).map((of): WeightExpr => ({ kind: 'transpose', of, perm }));
      }),
  ];
  const axis = dims.findIndex((size) => size > 1);
  if (axis >= 0) {
    const piece = (size: number) => below(dims.map((d, i) => (i === axis ? size : d)));
    choices.push(fc.tuple(piece(1), piece(dims[axis]! - 1)).map((of): WeightExpr => ({ kind: 'concat', axis, of })));
  }
  if (dims.length > 1 && dims[0]! > 0) {
    const [parts, ...largest] = dims as readonly [number, ...number[]];
    const smaller = fc.tuple(...largest.map((size) => fc.integer({ min: 0, max: size })));
    choices.push(
      fc
        .tuple(below(largest), ...Array.from({ length: parts - 1 }, () => smaller.chain((d) => below(d))))
        .map((of): WeightExpr => ({ kind: 'stack', of })),
    );
  }
  if (dims.length === 2) {
    choices.push(
      fc
        .integer({ min: 0, max: 6 })
        .chain((rank) =>
          fc
            .tuple(below(dims), below([rank, dims[1]!]), below([dims[0]!, rank]))
            .map(([base, a, b]): WeightExpr => ({ kind: 'merge', base, a, b, scale: 0.75 })),
        ),
    );
  }
  return fc.oneof(...choices);
}

const anyWeight = fc
  .tuple(floatType, fc.array(dim, { minLength: 1, maxLength: 4 }), fc.integer({ min: 0, max: 3 }))
  .chain(([dtype, dims, depth]) => weightOf(dtype, dims, depth));

test('a weight streams to the bytes that evaluating it whole gives', async () => {
  await fc.assert(
    fc.asyncProperty(anyWeight, async (expr) => {
      expect(await streamed(expr)).toEqual(Buffer.from(encodeTensor(weightType(expr).dtype, await evaluated(expr))));
    }),
    { numRuns: 500 },
  );
});

test('any run of elements is that run of the whole', async () => {
  await fc.assert(
    fc.asyncProperty(anyWeight, fc.nat(1000), fc.nat(1000), async (expr, x, y) => {
      const whole = await evaluated(expr);
      const start = x % (whole.length + 1);
      const count = y % (whole.length - start + 1);
      expect(await weightReader(expr, files).read(start, count)).toEqual(whole.slice(start, start + count));
    }),
    { numRuns: 1000 },
  );
});

const large: Readonly<Record<string, WeightExpr>> = {
  'a file': stored('f16', [1500, 2500], 2),
  'bf16 widened to f32': { kind: 'cast', of: stored('bf16', [1500, 2500], 2), to: 'f32' },
  'f16 narrowed to bf16': { kind: 'cast', of: stored('f16', [1500, 1000], 2), to: 'bf16' },
  'a transpose': { kind: 'transpose', of: stored('f16', [1100, 2500], 4), perm: [1, 0] },
  'a transpose of four axes': { kind: 'transpose', of: stored('f16', [3, 200, 50, 70], 4), perm: [2, 0, 3, 1] },
  'a LoRA product': {
    kind: 'merge',
    base: { kind: 'cast', of: stored('bf16', [1100, 2500], 0), to: 'f32' },
    a: { kind: 'cast', of: stored('bf16', [5, 2500], 100), to: 'f32' },
    b: { kind: 'cast', of: stored('bf16', [1100, 5], 300), to: 'f32' },
    scale: 1.5,
  },
  'columns side by side': {
    kind: 'concat',
    axis: 1,
    of: [stored('f16', [1100, 1500], 0), stored('f16', [1100, 7], 0)],
  },
  'a stack with gaps': { kind: 'stack', of: [stored('f16', [1100, 1500], 0), stored('f16', [900, 1400], 0)] },
};

for (const [title, expr] of Object.entries(large)) {
  test(`in many pieces: ${title}`, async () => {
    const pieces: number[] = [];
    for await (const chunk of weightBytes(expr, files)) pieces.push(chunk.length);
    expect(Math.max(...pieces)).toBeLessThanOrEqual(2 ** 24);
    expect((await streamed(expr)).equals(encodeTensor(weightType(expr).dtype, await evaluated(expr)))).toBe(true);
  });
}

test('a literal is written in its own type', async () => {
  expect(await streamed(literal('i64', [2], [1, -2]))).toEqual(
    Buffer.from(new Uint8Array(BigInt64Array.of(1n, -2n).buffer)),
  );
});

test('a file that became shorter is a system error, not wrong numbers', async () => {
  await expect(streamed(stored('f32', [4], data.length - 8))).rejects.toMatchObject({ code: 'EIO' });
});
