import { type Result, success } from '../../../files/diagnostics.ts';
import type { Graph } from '../../../ir/graph.ts';
import { InvariantError, invariant } from '../../../ir/invariant.ts';
import type { WeightExpr } from '../../../ir/weights.ts';
import { unrolledPipeline } from '../../../passes/pipelines.ts';
import { runPasses } from '../../../passes/run-passes.ts';
import { type HostTensor, openSession } from '../../../runtime/session.ts';
import { dialects } from '../../../targets/onnx/dialects.ts';
import { lowerToOnnx } from '../../../targets/onnx/lower.ts';
import type { SourceModel } from '../../read/source-model.ts';
import { readFloats } from '../tensor-values.ts';
import { hiddenNames, type LayerGraph, type LinearInput } from './layer-graph.ts';
import type { TextWindows } from './text-windows.ts';

export interface RunLayerOptions {
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** After every step, the tokens that it took. */
  readonly onTokens?: ((tokens: number) => void) | undefined;
}

/** The mean of x xᵀ, [size, size], over all tokens; of x², [size], where the input is wide. */
export interface InputMoment extends LinearInput {
  readonly moment: Float64Array;
}

/** Tokens that go through a layer at a time: enough for products to be what takes the time. */
const tokensAtATime = 1024;

/** A layer that is ready to run, with its weights in memory. */
export interface OpenLayer {
  /** Everything that the layer gives for hidden states [windows · length, hidden]; `instead` replaces weights by name. */
  readonly run: (
    hidden: Float32Array,
    length: number,
    instead?: Readonly<Record<string, HostTensor>>,
  ) => Promise<Readonly<Record<string, HostTensor>>>;
  readonly close: () => Promise<void>;
}

/** Loads a layer into ONNX Runtime and reads its weights. */
export async function openLayer(
  model: SourceModel,
  { graph, weights }: LayerGraph,
  { threads }: Pick<RunLayerOptions, 'threads'>,
): Promise<Result<OpenLayer>> {
  // Sessions of products wait for their turn, and a thread that spins takes a core from the one whose turn it is.
  const opened = await openSession(
    { name: `${graph.name}.onnx`, bytes: onnxBytes(graph) },
    { spinning: false, ...(threads === undefined ? {} : { threads }) },
  );
  if (!opened.ok) return opened;
  const session = opened.value;
  // An input that the graph has but never uses is not one of the session's.
  const used = new Set(session.inputs.map(({ name }) => name));
  const given: Record<string, HostTensor> = {};
  for (const { name, type } of graph.inputs) {
    const expr = weights.get(name);
    if (!expr || !used.has(name)) continue;
    given[name] = { type: 'f32', dims: type.dims as number[], data: await weightFloats(model, expr) };
  }
  const bound = session.bind(given);
  const width = model.spec.hiddenSize;
  return success({
    run: (hidden, length, instead = {}) => {
      const windows = hidden.length / (length * width);
      const feeds = { ...surroundings(graph, model, windows, length), ...instead };
      feeds[hiddenNames.input] = { type: 'f32', dims: [windows, length, width], data: hidden };
      return bound.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => used.has(name))));
    },
    close: session.close,
  });
}

/**
 * Runs one layer over all windows: `hidden` [tokens, hidden] is replaced by what leaves the layer. Only this layer's
 * weights are in memory, and its moments. Throws a RuntimeFailure when ONNX Runtime fails, and the signal's reason.
 */
export async function runLayer(
  model: SourceModel,
  layer: LayerGraph,
  { count, length }: TextWindows,
  hidden: Float32Array,
  { threads, signal, onTokens }: RunLayerOptions,
): Promise<Result<readonly InputMoment[]>> {
  const opened = await openLayer(model, layer, { threads });
  if (!opened.ok) return opened;
  const { run, close } = opened.value;
  const { inputs } = layer;
  try {
    const width = model.spec.hiddenSize;
    const sums = inputs.map(({ size, wide }) => new Float64Array(wide ? size : size * size));
    const batch = Math.max(1, Math.floor(tokensAtATime / length));
    for (let first = 0; first < count; first += batch) {
      signal?.throwIfAborted();
      const windows = Math.min(batch, count - first);
      const states = hidden.subarray(first * length * width, (first + windows) * length * width);
      const results = await run(states, length);
      states.set(results[hiddenNames.output]!.data as Float32Array);
      for (const [i, { output }] of inputs.entries()) {
        const [sum, more] = [sums[i]!, results[output]!.data as Float32Array];
        for (let k = 0; k < sum.length; k++) sum[k] = sum[k]! + more[k]!;
      }
      onTokens?.(windows * length);
    }
    const tokens = count * length;
    return success(
      inputs.map((input, i) => {
        const moment = sums[i]!;
        for (let k = 0; k < moment.length; k++) moment[k] = moment[k]! / tokens;
        return { ...input, moment };
      }),
    );
  } finally {
    await close();
  }
}

function onnxBytes(graph: Graph<'unrolled'>): Uint8Array {
  const { keeps } = dialects.portable;
  const options = { precision: 'f32', lora: 'auto', keeps, exits: [], exitLogits: false } as const;
  const lowered = runPasses(graph, (source, run) => unrolledPipeline(source, options, run));
  invariant(lowered.outcome === 'done', `a layer as a graph: ${lowered.outcome}`);
  const file = lowerToOnnx(lowered.graph, {
    ...{ dialect: 'portable', fileName: `${graph.name}.onnx`, version: '0', metadata: {} },
  });
  invariant(file.linked.length === 0 && file.generated.length === 0, 'a layer has weights that it was not handed');
  return file.bytes;
}

/** Everything but the hidden state and the weights: whole windows, nothing before them. */
function surroundings(
  graph: Graph,
  { spec }: SourceModel,
  windows: number,
  length: number,
): Record<string, HostTensor> {
  const feeds: Record<string, HostTensor> = {
    attention_mask: {
      type: 'i64',
      dims: [windows, length],
      data: new BigInt64Array(windows * length).fill(1n),
    },
    position_ids: {
      type: 'i64',
      dims: [windows, length],
      data: BigInt64Array.from({ length: windows * length }, (_, i) => BigInt(i % length)),
    },
  };
  for (const { name } of graph.inputs) {
    if (!name.startsWith('past_key_values.')) continue;
    feeds[name] = { type: 'f32', dims: [windows, spec.kvHeads, 0, spec.headDim], data: new Float32Array() };
  }
  return feeds;
}

/** A weight of the unrolled graph, which is a tensor in float32, or that plus a number. */
async function weightFloats(model: SourceModel, expr: WeightExpr): Promise<Float32Array> {
  switch (expr.kind) {
    case 'file': {
      const source = model.tensors.get(expr.tensor);
      invariant(source, `no tensor "${expr.tensor}"`);
      const floats = new Float32Array(source.shape.reduce((product, dim) => product * dim, 1));
      let at = 0;
      for await (const chunk of readFloats(source)) {
        floats.set(chunk, at);
        at += chunk.length;
      }
      return floats;
    }
    case 'cast':
      invariant(expr.to === 'f32', `a weight becomes ${expr.to}`);
      return weightFloats(model, expr.of);
    case 'offset': {
      const floats = await weightFloats(model, expr.of);
      for (let i = 0; i < floats.length; i++) floats[i] = floats[i]! + expr.by;
      return floats;
    }
    case 'literal':
      return Float32Array.from(expr.values);
    default:
      throw new InvariantError(`a weight of a source graph is ${expr.kind}`);
  }
}
