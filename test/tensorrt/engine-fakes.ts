import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineRun, RunEngine } from '../../compiler/tensorrt/run/engine-call.ts';
import { openOnnxRuntime } from '../../compiler/verify/onnx-runtime-decoder.ts';
import { failure, success } from '../../files/diagnostics.ts';
import type { GraphTensor, TensorrtFacts } from '../../files/manifest.ts';
import { countOf, makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import { exportOutput } from '../support/stand-in-trtexec/reports.ts';

/** Least and most of a dim; what is not named is between 1 and 512. */
export type Ranges = Readonly<Record<string, readonly [number, number]>>;

/** A profile whose dims lie in ranges; a sum of dims lies between the sums. */
export function profileOf(
  name: string,
  inputs: readonly GraphTensor[],
  ranges: Ranges,
): TensorrtFacts['engines'][number]['profiles'][number] {
  const size = (dim: string | number, end: 0 | 1): number =>
    typeof dim === 'number' ? dim : dim.split('+').reduce((sum, part) => sum + (ranges[part] ?? [1, 512])[end], 0);
  return {
    name,
    inputs: Object.fromEntries(
      inputs.map(({ name: input, dims }) => {
        const [min, max] = [dims.map((dim) => size(dim, 0)), dims.map((dim) => size(dim, 1))];
        return [input, { min, opt: max, max }];
      }),
    ),
  };
}

/**
 * Runs the graph in ONNX Runtime in place of an engine: reads the files that trtexec would, and writes outputs as it
 * does. Fails where a shape is empty, as engines do.
 * @param graphOf the .onnx behind a plan
 */
export function fakeRunner(
  graphOf: (plan: string) => { readonly path: string; readonly inputs: readonly GraphTensor[] },
  change: (outputs: ReadonlyMap<string, Tensor>) => ReadonlyMap<string, Tensor> = (outputs) => outputs,
): { readonly run: RunEngine; readonly runs: EngineRun[]; readonly feeds: ReadonlyMap<string, Tensor>[] } {
  const runs: EngineRun[] = [];
  const feeds: ReadonlyMap<string, Tensor>[] = [];
  const run: RunEngine = async (call) => {
    runs.push(call);
    const { path, inputs } = graphOf(call.plan);
    const tensors = new Map<string, Tensor>();
    for (const { name, dtype } of inputs) {
      const shape = call.shapes[name]!;
      if (countOf(shape) === 0) {
        return failure({ severity: 'error', code: 'trtexec-failed', message: `${name} is empty: ${shape}.` });
      }
      const bytes = readFileSync(join(call.folder, call.loadInputs[name]!));
      tensors.set(name, makeTensor(dtype, shape, decodeTensor(dtype, bytes, countOf(shape))));
    }
    feeds.push(tensors);
    const opened = await openOnnxRuntime(path, inputs, { threads: 1 });
    if (!opened.ok) return opened;
    const used = new Map(opened.value.inputs.map(({ name }) => [name, tensors.get(name)!]));
    const outputs = await opened.value.run(used);
    await opened.value.close();
    exportOutput(join(call.folder, call.exportOutput!), change(outputs));
    return success(undefined);
  };
  return { run, runs, feeds };
}
