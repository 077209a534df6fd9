import { join } from 'node:path';
import { expect } from 'vitest';
import { buildGraph } from '../../compiler/architectures/build-graph.ts';
import { type WritePackageOptions, type WrittenPackage, writePackage } from '../../compiler/package/write-package.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import type { Result } from '../../files/diagnostics.ts';
import type { OnnxFile } from '../../targets/onnx/onnx-file.ts';

export interface SimplePackageOptions extends Partial<WritePackageOptions> {
  readonly out: string;
  /** Generates all weights, in f32, instead of linking the checkpoint's. */
  readonly materialize?: boolean;
}

/** One of the models that the tests bring along. */
export function modelFolder(name: string): string {
  return join(import.meta.dirname, '..', 'models', name);
}

/** Writes a package of the model in a folder; what it has for a graph is none, which is nothing to who writes it. */
export async function simplePackage(folder: string, options: SimplePackageOptions): Promise<Result<WrittenPackage>> {
  const read = await readModel(folder);
  if (!read.ok) expect.fail(JSON.stringify(read.diagnostics));
  const model = read.value;
  const materialize = options.materialize ?? false;
  return writePackage({
    model,
    onnx: [fakeGraph(model, materialize)],
    layout: 'rtc',
    extra: [],
    facts: {
      rtc: '0.0.0',
      form: 'unrolled',
      target: 'onnx',
      dialect: 'portable',
      precision: { compute: 'f32', weights: materialize ? 'written' : 'checkpoint' },
      passes: ['take-apart'],
      loraStrategy: 'keep',
      graphs: [buildGraph(model)],
    },
    ...options,
  });
}

/** Bytes that stand for a graph which reads every weight. */
function fakeGraph({ files, tensors }: SourceModel, materialize: boolean): OnnxFile {
  const weights = [...tensors.values()].map(({ name, dtype, shape, offset, length, file }) => {
    const of = { kind: 'file' as const, file: file.path, tensor: name, dtype, dims: shape, offset, length };
    return { name, expr: { kind: 'cast' as const, of, to: 'f32' as const } };
  });
  return {
    name: 'model.onnx',
    bytes: Buffer.alloc(1000, 'graph '),
    linked: materialize ? [] : files.map(({ path }) => path),
    generated: materialize ? weights : [],
    generatedFile: 'generated.safetensors',
  };
}
