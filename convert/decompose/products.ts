import { type Result, success } from '../../files/diagnostics.ts';
import { type GraphBuilder, graphBuilder } from '../../ir/builder.ts';
import type { FloatDType } from '../../ir/dtype.ts';
import type { Value } from '../../ir/graph.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { type GraphSession, type HostTensor, openSession, RuntimeFailure } from '../../runtime/session.ts';
import { lowerToOnnx } from '../../targets/onnx/lower.ts';
import type { Matrix } from '../matrix.ts';

/** Which operand of a product is transposed: `nt` is a · bᵀ. */
export type Transposition = 'nn' | 'nt' | 'tn' | 'tt';

/** A matrix in float64, row by row. */
export interface DoubleMatrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

/**
 * Products of matrices, computed by ONNX Runtime in graphs that rtc's own compiler makes. Operands are read where they
 * lie; only a result is copied. Each rejects with a RuntimeFailure where ONNX Runtime fails, and with the reason of the
 * signal once that has aborted.
 */
export interface Products {
  /** scale · a · b, in float32, either operand transposed. */
  readonly product: (a: Matrix, b: Matrix, kind: Transposition, scale?: number) => Promise<Matrix>;
  /** y ← a · s² · y·m·mᵀ + b · y + c · previous (`along` the rows of m), or · mᵀ·m (its columns), in float32. */
  readonly step: (
    along: 'rows' | 'cols',
    m: Matrix,
    y: Matrix,
    previous: Matrix,
    weights: StepWeights,
  ) => Promise<Matrix>;
  /** m · mᵀ or mᵀ · m in float64. */
  readonly gram: (m: Matrix, of: 'rows' | 'cols') => Promise<DoubleMatrix>;
  /** t · m, or t · mᵀ, in float64, rounded to float32. */
  readonly mix: (t: DoubleMatrix, m: Matrix, kind?: 'nn' | 'nt') => Promise<Matrix>;
  readonly close: () => Promise<void>;
}

export interface StepWeights {
  /** Of the matrix: what brings its entries near 1. */
  readonly scale: number;
  readonly product: number;
  readonly y: number;
  readonly previous: number;
}

/** Opens ONNX Runtime with one graph, which fails where ONNX Runtime is missing; the others follow when they are needed. */
export async function openProducts(options: {
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<Result<Products>> {
  const { threads, signal } = options;
  const open = (name: GraphName) =>
    openSession(
      { name: `${name}.onnx`, bytes: graphBytes(name) },
      // Sessions take turns here, and a thread that spins takes a core from the one whose turn it is.
      { spinning: false, ...(threads === undefined ? {} : { threads }) },
    );
  const first = await open('nn');
  if (!first.ok) return first;
  const sessions = new Map<GraphName, GraphSession>([['nn', first.value]]);
  const run = async (name: GraphName, feeds: Readonly<Record<string, HostTensor>>): Promise<HostTensor> => {
    signal?.throwIfAborted();
    let session = sessions.get(name);
    if (!session) {
      const opened = await open(name);
      if (!opened.ok) throw new RuntimeFailure(opened.diagnostics[0]!);
      session = opened.value;
      sessions.set(name, session);
    }
    return (await session.run(feeds)).result!;
  };
  return success({
    product: async (a, b, kind, scale = 1) => single(await run(kind, { a: host(a), b: host(b), scale: scalar(scale) })),
    step: async (along, m, y, previous, weights) =>
      single(
        await run(`step-${along}`, {
          ...{ m: host(m), y: host(y), previous: host(previous), scale: scalar(weights.scale) },
          ...{ of_product: scalar(weights.product), of_y: scalar(weights.y), of_previous: scalar(weights.previous) },
        }),
      ),
    gram: async (m, of) => double(await run(`gram-${of}`, { m: host(m) })),
    mix: async (t, m, kind = 'nn') =>
      single(await run(`mix-${kind}`, { t: { type: 'f64', dims: [t.rows, t.cols], data: t.data }, m: host(m) })),
    close: async () => {
      for (const session of sessions.values()) await session.close();
      sessions.clear();
    },
  });
}

type GraphName = Transposition | 'step-rows' | 'step-cols' | 'gram-rows' | 'gram-cols' | 'mix-nn' | 'mix-nt';

/** One session each: in a graph of several, ONNX Runtime would compute those too that nobody wants. */
const graphs: Readonly<Record<GraphName, (builder: GraphBuilder) => Value>> = {
  nn: (builder) => {
    const { a, b } = operands(builder, ['m', 'k'], ['k', 'n']);
    return builder.add('matmul', [a, b], {});
  },
  nt: (builder) => {
    const { a, b } = operands(builder, ['m', 'k'], ['n', 'k']);
    return builder.add('linear', [a, b], {});
  },
  tn: (builder) => {
    const { a, b } = operands(builder, ['k', 'm'], ['k', 'n']);
    return builder.add('matmul', [flip(builder, a), b], {});
  },
  tt: (builder) => {
    const { a, b } = operands(builder, ['k', 'm'], ['n', 'k']);
    return flip(builder, builder.add('matmul', [b, a], {}));
  },
  'step-rows': (builder) =>
    step(
      builder,
      'm',
      (y, m) => builder.add('matmul', [y, m], {}),
      (z, m) => builder.add('linear', [z, m], {}),
    ),
  'step-cols': (builder) =>
    step(
      builder,
      'n',
      (y, m) => builder.add('linear', [y, m], {}),
      (z, m) => builder.add('matmul', [z, m], {}),
    ),
  'gram-rows': (builder) => {
    const m = doubled(builder, builder.input('m', tensor('f32', ['m', 'n'])));
    return builder.add('linear', [m, m], {});
  },
  'gram-cols': (builder) => {
    const m = doubled(builder, builder.input('m', tensor('f32', ['m', 'n'])));
    return builder.add('matmul', [flip(builder, m), m], {});
  },
  'mix-nn': (builder) => {
    const t = builder.input('t', tensor('f64', ['l', 'm']));
    const m = doubled(builder, builder.input('m', tensor('f32', ['m', 'n'])));
    return builder.add('cast', [builder.add('matmul', [t, m], {})], { to: 'f32' });
  },
  'mix-nt': (builder) => {
    const t = builder.input('t', tensor('f64', ['l', 'n']));
    const m = doubled(builder, builder.input('m', tensor('f32', ['m', 'n'])));
    return builder.add('cast', [builder.add('linear', [t, m], {})], { to: 'f32' });
  },
};

function graphBytes(name: GraphName): Uint8Array {
  const builder = graphBuilder(name);
  builder.output('result', graphs[name](builder));
  const options = { dialect: 'portable', fileName: `${name}.onnx`, version: '0', metadata: {} } as const;
  return lowerToOnnx(builder.finish('lowered'), options).bytes;
}

function operands(builder: GraphBuilder, a: readonly [string, string], b: readonly [string, string]) {
  const left = builder.input('a', tensor('f32', a));
  const right = builder.input('b', tensor('f32', b));
  return { a: builder.add('mul', [left, number(builder, 'scale')], {}), b: right };
}

function step(
  builder: GraphBuilder,
  along: 'm' | 'n',
  forward: (y: Value, m: Value) => Value,
  backward: (z: Value, m: Value) => Value,
): Value {
  const m = builder.input('m', tensor('f32', ['m', 'n']));
  const y = builder.input('y', tensor('f32', ['l', along]));
  const previous = builder.input('previous', tensor('f32', ['l', along]));
  const scale = number(builder, 'scale');
  const weighted = (value: Value, weight: string) => builder.add('mul', [value, number(builder, weight)], {});
  const z = builder.add('mul', [forward(builder.add('mul', [y, scale], {}), m), scale], {});
  const sum = builder.add('add', [weighted(backward(z, m), 'of_product'), weighted(y, 'of_y')], {});
  return builder.add('add', [sum, weighted(previous, 'of_previous')], {});
}

function number(builder: GraphBuilder, name: string, dtype: FloatDType = 'f32'): Value {
  return builder.input(name, tensor(dtype, []));
}

function flip(builder: GraphBuilder, matrix: Value): Value {
  return builder.add('transpose', [matrix], { perm: [1, 0] });
}

function doubled(builder: GraphBuilder, matrix: Value): Value {
  return builder.add('cast', [matrix], { to: 'f64' });
}

function host({ rows, cols, data }: Matrix): HostTensor {
  return { type: 'f32', dims: [rows, cols], data };
}

function scalar(value: number): HostTensor {
  return { type: 'f32', dims: [], data: Float32Array.of(value) };
}

function single({ dims, data }: HostTensor): Matrix {
  return { rows: dims[0]!, cols: dims[1]!, data: data as Float32Array };
}

function double({ dims, data }: HostTensor): DoubleMatrix {
  return { rows: dims[0]!, cols: dims[1]!, data: data as Float64Array };
}
