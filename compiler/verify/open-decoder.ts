import { type Result, success } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import type { Decoder, OpenDecoder } from './call.ts';
import { openNodes } from './node-decoder.ts';
import { openOnnxRuntime } from './onnx-runtime-decoder.ts';

/** Who computes a package: ONNX Runtime, or verify itself, node by node. */
export type Executor = 'onnxruntime' | 'nodes';

/** A package that can be run, and by whom. */
export interface Opened {
  readonly decoder: OpenDecoder;
  /** One sentence or two. */
  readonly executedBy: string;
}

/** Opens a graph of a package by the name of its file. */
export type OpenGraph = (file: string, inputs: Decoder['inputs']) => Promise<Result<Opened>>;

/** In bytes. */
const small = 2e8;

/** Loads a graph of a package where it can be computed. Nothing but float32 and float16 is sure in ONNX Runtime. */
export async function openDecoder(
  path: string,
  inputs: Decoder['inputs'],
  manifest: PackageManifest,
  executor: Executor | undefined,
): Promise<Result<Opened>> {
  const computable = manifest.precision.compute !== 'bf16';
  if (executor === 'nodes' || (executor === undefined && !computable)) {
    const opened = await openNodes(path, inputs);
    if (!opened.ok) return opened;
    const executedBy = 'The nodes of the graph were executed one by one, each result rounded to its type.';
    const why = "ONNX Runtime's CPU provider cannot compute in bfloat16. ";
    return success({
      decoder: neverEmpty(opened.value, manifest),
      executedBy: computable ? executedBy : why + executedBy,
    });
  }
  const bytes = Object.values(manifest.files).reduce((sum, { size }) => sum + size, 0);
  // A small model computes faster than threads wake each other, and does not mind who else is on the machine.
  const opened = await openOnnxRuntime(path, inputs, bytes < small ? { threads: 1 } : {});
  if (!opened.ok) return opened;
  return success({ decoder: neverEmpty(opened.value, manifest), executedBy: "Run by ONNX Runtime's CPU provider." });
}

/** Lists of an engine are never empty, so a step that was written for one need not take empty ones. */
function neverEmpty(decoder: OpenDecoder, { dialect, form }: PackageManifest): OpenDecoder {
  if (dialect !== 'tensorrt' || form !== 'depth-batched') return decoder;
  const dims = decoder.inputs.flatMap((input) => input.dims.filter((dim) => typeof dim === 'string'));
  const least = Object.fromEntries(dims.map((dim) => [dim, 1]));
  return { ...decoder, sizes: () => [{ least, most: {} }] };
}
