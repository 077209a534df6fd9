import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { expect } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { mainGraph, readPackage } from '../../files/package.ts';
import type { Graph } from '../../ir/graph.ts';
import type { Tensor } from '../../ir/interpret/tensor.ts';
import { invariant } from '../../ir/invariant.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { fromOrt, toOrt } from '../onnx/run-onnx.ts';

/** A package as any other program would load it: by its rtc.json and its graph, in ONNX Runtime. */
export interface OpenPackage {
  readonly manifest: PackageManifest;
  readonly form: 'unrolled' | 'loop';
  /** What rtc.json says that the graph takes. */
  readonly inputs: Graph['inputs'];
  readonly run: (inputs: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>;
  readonly close: () => Promise<void>;
}

/** Compiles a model that has to compile without a word. */
export async function compiled(options: CompileOptions & { readonly out: string }): Promise<string> {
  const result = await compile(options);
  if (!result.ok || result.diagnostics.length > 0) expect.fail(JSON.stringify(result.diagnostics, undefined, 1));
  return options.out;
}

export async function openPackage(folder: string): Promise<OpenPackage> {
  const read = await readPackage(folder);
  if (!read.ok) expect.fail(JSON.stringify(read.diagnostics, undefined, 1));
  const { manifest } = read.value;
  const { file, inputs } = mainGraph(manifest);
  invariant(manifest.form !== 'depth-batched', 'a package that no test asks for');
  const session = await ort.InferenceSession.create(join(folder, file), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  return {
    manifest,
    form: manifest.form,
    inputs: inputs.map(({ name, dtype, dims }) => ({ name, type: tensor(dtype, dims) })),
    async run(given) {
      // An input that the graph never uses is not one of the session's.
      const feeds = session.inputNames.map((name) => {
        const value = given.get(name);
        invariant(value, `no tensor for the input "${name}"`);
        return [name, toOrt(value)] as const;
      });
      const outputs = await session.run(Object.fromEntries(feeds));
      return new Map(Object.entries(outputs).map(([name, value]) => [name, fromOrt(value)]));
    },
    close: () => session.release(),
  };
}
