import { join } from 'node:path';
import { readTensorSync } from '../../files/read-tensor.ts';
import type { Graph } from '../../ir/graph.ts';
import type { WeightCache } from '../../ir/interpret/evaluate-weight.ts';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import type { FileWeight } from '../../ir/weights.ts';
import { foldLoop, withoutLoops } from '../../passes/fold-loop.ts';
import { insertExitHeads } from '../../passes/insert-exit-heads.ts';
import type { PassContext } from '../../passes/pass.ts';
import { propagateExits } from '../../passes/propagate-exits.ts';
import { type StoredLayers, stackCache } from '../../passes/stack-cache.ts';
import { buildGraph } from '../architectures/build-graph.ts';
import type { SourceModel } from '../read/source-model.ts';
import type { Decoder } from './call.ts';
import { randomStream } from './random-stream.ts';

/** A model as it was read, in float64. */
export interface SourceDecoders {
  /** The model that runs its block `loops` times: what a token gets that leaves there. */
  readonly after: (loops: number) => Decoder;
  /** The whole model with its exits: the interface and the meaning of the loop form. */
  readonly withExits: () => Decoder;
  /** What exit states leave at the depths that they skip: the interface of propagate.onnx. */
  readonly propagate: () => Decoder;
}

export interface SourceDecoderOptions {
  /** Moves every weight of the files at random, by up to this part of it; always the same way. */
  readonly weightsOffBy?: number;
}

/** Every weight is evaluated once, however many loops are asked for. */
export function sourceDecoders(model: SourceModel, { weightsOffBy = 0 }: SourceDecoderOptions = {}): SourceDecoders {
  const cache: WeightCache = new Map();
  const decoders = new Map<number | string, Decoder>();
  const readWeight = ({ file, tensor, dtype, dims, offset, length }: FileWeight): Tensor => {
    const bytes = readTensorSync(join(model.folder, file), { offset, length });
    const values = decodeTensor(dtype, bytes);
    if (weightsOffBy > 0) moveAtRandom(values, weightsOffBy, tensor);
    return makeTensor(dtype, dims, values);
  };
  const decoderOf = (graph: Graph): Decoder => ({
    inputs: graph.inputs.map(({ name, type }) => ({ name, dtype: type.dtype, dims: type.dims })),
    run: createInterpreter(graph, { readWeight, cache }).run,
  });
  const once = (key: number | string, make: () => Graph): Decoder => {
    const decoder = decoders.get(key) ?? decoderOf(make());
    decoders.set(key, decoder);
    return decoder;
  };
  return {
    after: (loops) => once(loops, () => buildGraph({ ...model, recursion: { ...model.recursion, loops } })),
    withExits: () => once('exits', () => graphWithExits(model)),
    propagate: () =>
      once('propagate', () => propagateExits(storedLayersOf(model)).run(foldLoop.run(buildGraph(model), quiet), quiet)),
  };
}

function moveAtRandom(values: Float64Array, by: number, name: string): void {
  const random = randomStream([...name].reduce((seed, character) => Math.imul(seed, 31) + character.charCodeAt(0), 7));
  for (let i = 0; i < values.length; i++) values[i] = values[i]! * (1 + by * (2 * random() - 1));
}

const quiet: PassContext = { note: () => {} };

/** The model with its loop and its exits, as the loop form starts from it. */
function graphWithExits(model: SourceModel): Graph {
  const { exits } = model;
  const layers = storedLayersOf(model);
  const graph = buildGraph(model);
  const folded = layers.loops === 1 ? withoutLoops(graph) : foldLoop.run(graph, quiet);
  const stacked = stackCache(layers).run(folded, quiet);
  const { after = [], confidence = 'top1' } = exits ?? {};
  return insertExitHeads({ mode: 'in-loop', after, confidence }).run(stacked, quiet);
}

function storedLayersOf({ recursion: { prelude, block, loops, coda } }: SourceModel): StoredLayers {
  return { prelude, block, loops, coda };
}
