import { basename } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';

/** Element types that ONNX Runtime's Node binding can hand over, by the names of the IR. bfloat16 is not among them. */
export type ElementType = 'f64' | 'f32' | 'f16' | 'i64' | 'i32' | 'i8' | 'u8' | 'bool';

/** The numbers of a tensor. float16 is a Uint16Array of its bits where JavaScript has no Float16Array yet. */
export type TensorData =
  | Float64Array
  | Float32Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Int8Array
  | Uint8Array;

/** A tensor: what a run returned, or any object of this shape. Feeding it to a run copies nothing in JavaScript. */
export interface HostTensor {
  readonly type: ElementType;
  readonly dims: readonly number[];
  /** In C order. */
  readonly data: TensorData;
}

/** One input or output as the graph declares it. A dim is a number, or the name that the graph gives it. */
export interface TensorDeclaration {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly (number | string)[];
}

/** A graph loaded into ONNX Runtime. */
export interface GraphSession {
  readonly inputs: readonly TensorDeclaration[];
  readonly outputs: readonly TensorDeclaration[];
  /**
   * Computes all outputs, or those named. Throws a {@link RuntimeFailure} when ONNX Runtime does.
   * ONNX Runtime computes on the calling thread: the event loop stands still meanwhile.
   */
  readonly run: (
    feeds: Readonly<Record<string, HostTensor>>,
    outputs?: readonly string[],
  ) => Promise<Readonly<Record<string, HostTensor>>>;
  /**
   * The same graph with some inputs given for all runs: large ones that stay where they are. Each run reads what their
   * memory then holds, and makes nothing for them anew.
   */
  readonly bind: (feeds: Readonly<Record<string, HostTensor>>) => Pick<GraphSession, 'run'>;
  readonly close: () => Promise<void>;
}

export interface SessionOptions {
  /** Threads inside one operator; by default ONNX Runtime takes every physical core. */
  readonly threads?: number;
  /** `none` runs the graph as it is written; `all`, the default, lets ONNX Runtime fold and fuse. */
  readonly optimization?: 'none' | 'all';
  /** Whether threads spin for a while behind an operator (default): the next one begins sooner, another session later. */
  readonly spinning?: boolean;
}

/** A model that is no file: its bytes, without external data, and what messages call it. */
export interface ModelBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Codes of diagnostics that are about ONNX Runtime, not about what it was given to run. */
export const onnxRuntimeCodes = ['onnxruntime-missing', 'onnxruntime-failed'] as const;

/** ONNX Runtime failed in the middle of a run. What went wrong is told as a diagnostic. */
export class RuntimeFailure extends Error {
  override readonly name = 'RuntimeFailure';
  readonly diagnostic: Diagnostic;

  constructor(diagnostic: Diagnostic, options?: ErrorOptions) {
    super(diagnostic.message, options);
    this.diagnostic = diagnostic;
  }
}

type OnnxRuntime = typeof import('onnxruntime-node');
type OrtTensor = import('onnxruntime-node').Tensor;

/**
 * Loads an .onnx file, with the external data beside it, or a model's bytes into ONNX Runtime on the CPU.
 * Fails with `onnxruntime-missing` when onnxruntime-node is not installed or does not run on this machine, and with
 * `onnxruntime-failed` when it refuses the graph.
 */
export async function openSession(
  model: string | ModelBytes,
  options: SessionOptions = {},
): Promise<Result<GraphSession>> {
  const name = typeof model === 'string' ? basename(model) : model.name;
  const loaded = await loadOnnxRuntime();
  if (!loaded.ok) return loaded;
  const ort = loaded.value;
  let session: import('onnxruntime-node').InferenceSession;
  try {
    const sessionOptions: import('onnxruntime-node').InferenceSession.SessionOptions = {
      executionProviders: ['cpu'],
      graphOptimizationLevel: options.optimization === 'none' ? 'disabled' : 'all',
      // Warnings of the optimizer are about its own work; what fails is thrown.
      logSeverityLevel: 3,
      ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
      ...(options.spinning === false ? { extra: { session: { intra_op: { allow_spinning: '0' } } } } : {}),
    };
    session = await (typeof model === 'string'
      ? ort.InferenceSession.create(model, sessionOptions)
      : ort.InferenceSession.create(model.bytes, sessionOptions));
  } catch (error) {
    return failure(refused(name, error));
  }
  const open = wrap(ort, session, name);
  if (!open.ok) await session.release();
  return open;
}

function wrap(
  ort: OnnxRuntime,
  session: import('onnxruntime-node').InferenceSession,
  file: string,
): Result<GraphSession> {
  const inputs = declarations(session.inputMetadata);
  const outputs = declarations(session.outputMetadata);
  if (inputs === undefined || outputs === undefined) {
    return failure(refused(file, new Error('an input or output has a type that rtc does not use')));
  }
  const bind: GraphSession['bind'] = (bound) => {
    const kept = toNatives(ort, bound);
    const run: GraphSession['run'] = async (feeds, names) => {
      const natives = { ...kept, ...toNatives(ort, feeds) };
      let results: Readonly<Record<string, OrtTensor>>;
      try {
        results = (await (names ? session.run(natives, names) : session.run(natives))) as typeof results;
      } catch (error) {
        throw new RuntimeFailure(refused(file, error));
      }
      return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, fromOrt(tensor)]));
    };
    return { run };
  };
  return success({ inputs, outputs, ...bind({}), bind, close: () => session.release() });
}

function toNatives(ort: OnnxRuntime, feeds: Readonly<Record<string, HostTensor>>): Record<string, OrtTensor> {
  const natives: Record<string, OrtTensor> = {};
  for (const [name, tensor] of Object.entries(feeds)) natives[name] = toOrt(ort, tensor);
  return natives;
}

/** The same memory as ONNX Runtime's own class has it. */
function toOrt(ort: OnnxRuntime, { type, dims, data }: HostTensor): OrtTensor {
  if (type === 'f16') {
    // Where JavaScript has Float16Array, the class keeps one, and the binding of 1.30 sees no bytes in it.
    const { buffer, byteOffset, length } = data;
    return {
      type: 'float16',
      dims,
      location: 'cpu',
      data: new Uint16Array(buffer, byteOffset, length),
    } as object as OrtTensor;
  }
  // The binding types its constructor for each element type apart; this stands for all.
  return new ort.Tensor(ortTypes[type] as 'float32', data as Float32Array, dims);
}

function fromOrt(tensor: OrtTensor): HostTensor {
  // Opening the session checked that every output has one of our types.
  return { type: elementTypes[tensor.type]!, dims: tensor.dims, data: tensor.data as TensorData };
}

const ortTypes = {
  f64: 'float64',
  f32: 'float32',
  f16: 'float16',
  i64: 'int64',
  i32: 'int32',
  i8: 'int8',
  u8: 'uint8',
  bool: 'bool',
} as const satisfies Readonly<Record<ElementType, string>>;

const elementTypes: Readonly<Record<string, ElementType>> = Object.fromEntries(
  Object.entries(ortTypes).map(([ours, theirs]) => [theirs, ours as ElementType]),
);

function declarations(
  metadata: readonly import('onnxruntime-node').InferenceSession.ValueMetadata[],
): readonly TensorDeclaration[] | undefined {
  const found: TensorDeclaration[] = [];
  for (const value of metadata) {
    const type = value.isTensor ? elementTypes[value.type] : undefined;
    if (!value.isTensor || type === undefined) return undefined;
    found.push({ name: value.name, type, dims: value.shape });
  }
  return found;
}

function refused(file: string, error: unknown): Diagnostic {
  const text = error instanceof Error ? error.message : String(error);
  return {
    severity: 'error',
    code: 'onnxruntime-failed',
    location: { file },
    message: `ONNX Runtime failed on "${file}": ${text.trim().replace(/\.?$/, '.')}`,
    ...(/NOT_IMPLEMENTED|Could not find an implementation|Unsupported data type/.test(text)
      ? { hint: "ONNX Runtime's CPU provider lacks this type or operator; compile with another --precision." }
      : {}),
  };
}

/** onnxruntime-node is an optional peer dependency: compiling needs none of its 290 MB. */
async function loadOnnxRuntime(): Promise<Result<OnnxRuntime>> {
  try {
    return success(await import('onnxruntime-node'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const absent = code === 'ERR_MODULE_NOT_FOUND' && message.includes("'onnxruntime-node'");
    return failure({
      severity: 'error',
      code: 'onnxruntime-missing',
      message: absent
        ? 'onnxruntime-node is not installed, and running a package needs it.'
        : `onnxruntime-node is installed but does not load on this machine: ${message.split('\n')[0]}`,
      hint: absent
        ? 'Run `npm install onnxruntime-node`. Where its install script cannot reach NuGet, ' +
          'set ONNXRUNTIME_NODE_INSTALL=skip: the CPU library is in the package itself.'
        : `It has binaries for Linux (x64, arm64), macOS (arm64) and Windows; this is ${process.platform} ${process.arch}.`,
    });
  }
}
