import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { buildGraph } from '../../compiler/architectures/build-graph.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import { type ByteRange, readTensorSync } from '../../files/read-tensor.ts';
import { readSafetensors } from '../../files/safetensors.ts';
import type { DType } from '../../ir/dtype.ts';
import type { Graph } from '../../ir/graph.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import type { FileWeight } from '../../ir/weights.ts';

const models = join(import.meta.dirname, '..', 'models');

/** The eight checkpoints in test/models. */
export const referenceNames: readonly string[] = readdirSync(models).sort();

/** One of test/models: what was read, the source graph, its weights, and what transformers computes. */
export interface ReferenceModel {
  readonly model: SourceModel;
  readonly graph: Graph<'unrolled'>;
  readonly readWeight: (weight: FileWeight) => Tensor;
  /** `input_ids`, `logits`, `exit_logits.{n}`, `generated`. */
  readonly reference: ReadonlyMap<string, Tensor>;
}

export async function referenceModel(name: string): Promise<ReferenceModel> {
  const folder = join(models, name);
  const model = await readModel(folder);
  if (!model.ok) expect.fail(JSON.stringify(model.diagnostics));
  const path = join(folder, 'reference.safetensors');
  const file = await readSafetensors(path, { path: 'reference.safetensors', shown: path });
  if (!file.ok) expect.fail(JSON.stringify(file.diagnostics));
  const reference = [...file.value.tensors.values()].map((entry) => readTensor(path, entry.dtype, entry.shape, entry));
  return {
    model: model.value,
    graph: buildGraph(model.value),
    readWeight: (weight) => readTensor(join(folder, weight.file), weight.dtype, weight.dims, weight),
    reference: new Map([...file.value.tensors.keys()].map((tensor, i) => [tensor, reference[i]!])),
  };
}

/** Inputs of a graph that reads `ids` [batch, sequence] from the start: nothing padded, nothing past. */
export function promptInputs(graph: Graph, ids: Tensor): ReadonlyMap<string, Tensor> {
  const [batch, sequence] = ids.shape as [number, number];
  const known = new Map<string, Tensor>([
    ['input_ids', ids],
    ['attention_mask', makeTensor('i64', ids.shape, new Float64Array(batch * sequence).fill(1))],
    [
      'position_ids',
      makeTensor(
        'i64',
        ids.shape,
        Float64Array.from(ids.data, (_, i) => i % sequence),
      ),
    ],
  ]);
  return new Map(
    graph.inputs.map(({ name, type }) => {
      const sizes = new Map<unknown, number>(Object.entries({ batch, sequence, past: 0 }));
      const shape = type.dims.map((dim) => (typeof dim === 'number' ? dim : (sizes.get(dim) ?? sequence)));
      return [name, known.get(name) ?? makeTensor(type.dtype, shape)];
    }),
  );
}

function readTensor(path: string, dtype: DType, shape: readonly number[], range: ByteRange): Tensor {
  return makeTensor(dtype, shape, decodeTensor(dtype, readTensorSync(path, range)));
}
