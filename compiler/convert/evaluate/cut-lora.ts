import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { type Result, success } from '../../../files/diagnostics.ts';
import { readTensorSync } from '../../../files/read-tensor.ts';
import { writeSafetensors } from '../../../files/write-safetensors.ts';
import { dtypes } from '../../../ir/dtype.ts';
import { invariant } from '../../../ir/invariant.ts';
import { linkOrCopy } from '../../package/link-or-copy.ts';
import { expectedTensors } from '../../read/expected-tensors.ts';
import type { SourceModel, SourceTensor } from '../../read/source-model.ts';

/** A model whose low-rank factors were cut, and what they still have. */
export interface CutModel {
  readonly model: SourceModel;
  /** Parameters of its factors. */
  readonly lora: number;
}

/** Where cut factors lie. No model has a file of this name. */
const cutName = 'rtc-cut-factors.safetensors';

/**
 * A converted model with all factors cut to a rank: its first rows of A and columns of B, which are the best factors of
 * that rank where they come from a singular value decomposition. Factors of a lower rank stay; rank 0 has none. The model
 * can be compiled; its tensors are in two files, which have some under one name, so nobody else should read the folder.
 * @param folder to be made, on the disk where the model is if links are to be made
 */
export async function cutLora(model: SourceModel, rank: number, folder: string): Promise<Result<CutModel>> {
  invariant(model.lora?.alpha === undefined, 'cutting factors would change their scale');
  const { layers } = model.spec.names;
  const isFactor = ({ name }: SourceTensor) =>
    name.startsWith(`${layers}.`) && /\.lora_[AB]\.depth_\d+\.weight$/.test(name);
  const all = [...model.tensors.values()];
  const factors = all.filter(isFactor);
  const others = all.filter((tensor) => !isFactor(tensor));
  // A [rank, in], B [out, rank]
  const isA = ({ name }: SourceTensor) => name.includes('.lora_A.');
  const kept = (tensor: SourceTensor) => Math.min(rank, tensor.shape[isA(tensor) ? 0 : 1]!);
  const cut = rank === 0 ? [] : factors;
  const shapes = cut.map((tensor) => {
    const [rows, cols] = tensor.shape as readonly [number, number];
    const shape = isA(tensor) ? [kept(tensor), cols] : [rows, kept(tensor)];
    return { name: tensor.name, dtype: tensor.dtype, shape };
  });
  const linked = await linkFiles(model, folder);
  if (!linked.ok) return linked;
  const written = await writeSafetensors(
    { absolutePath: join(folder, cutName), path: cutName, shown: join(folder, cutName) },
    shapes,
    ({ name }) => [cutBytes(model.tensors.get(name)!, kept(model.tensors.get(name)!), isA(model.tensors.get(name)!))],
  );
  if (!written.ok) return written;
  const files = model.files.map((file) => ({ ...file, absolutePath: join(folder, file.path) }));
  const fileOf = new Map(files.map((file) => [file.path, file]));
  const tensors = new Map<string, SourceTensor>([
    ...others.map((tensor) => [tensor.name, { ...tensor, file: fileOf.get(tensor.file.path)! }] as const),
    ...[...written.value.tensors.values()].map((entry) => [entry.name, { ...entry, file: written.value }] as const),
  ]);
  invariant(
    [...expectedTensors(model.spec, model.recursion, undefined).keys()].every((name) => tensors.has(name)),
    'a tensor was taken for a factor',
  );
  const lora = shapes.reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
  return success({
    model: {
      ...model,
      folder,
      files: lora === 0 ? files : [...files, written.value],
      tensors,
      lora: lora === 0 ? undefined : model.lora,
    },
    lora,
  });
}

/** Everything that lies in a model's folder, under the same names in another one. */
async function linkFiles(model: SourceModel, folder: string): Promise<Result<undefined>> {
  await mkdir(folder, { recursive: true });
  const entries = await readdir(model.folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const from = join(entry.parentPath, entry.name);
    const to = join(folder, relative(model.folder, from));
    await mkdir(dirname(to), { recursive: true });
    const linked = await linkOrCopy({ from, to, shown: to });
    if (!linked.ok) return linked;
  }
  return success(undefined);
}

/** The first `rank` rows of A, which lie together, or columns of B, which do not. */
function cutBytes(tensor: SourceTensor, rank: number, isA: boolean): Uint8Array {
  const bytes = readTensorSync(tensor.file.absolutePath, tensor);
  const width = dtypes[tensor.dtype].bits / 8;
  const [rows, cols] = tensor.shape as readonly [number, number];
  if (isA) return bytes.subarray(0, rank * cols * width);
  const narrow = new Uint8Array(rows * rank * width);
  for (let i = 0; i < rows; i++)
    narrow.set(bytes.subarray(i * cols * width, (i * cols + rank) * width), i * rank * width);
  return narrow;
}
