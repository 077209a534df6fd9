import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { resolveInside } from '../../files/resolve-inside.ts';
import { RuntimeFailure } from '../../runtime/session.ts';
import { createOnnxExecutor } from '../../targets/onnx/execute/onnx-executor.ts';
import { openWeightFiles } from '../package/weight-files.ts';
import type { Decoder, OpenDecoder } from './call.ts';

/**
 * Executes the nodes of an .onnx file one by one, with its external data, each result rounded to its type: the file as
 * it is written, in types that no provider computes in. What does not work is thrown as a {@link RuntimeFailure}.
 */
export async function openNodes(path: string, inputs: Decoder['inputs']): Promise<Result<OpenDecoder>> {
  const folder = { absolutePath: dirname(path), shown: dirname(path), linksMayLeave: false };
  const files = openWeightFiles((file) => join(folder.absolutePath, file));
  const readExternal = async (location: string, offset: number, length: number): Promise<Uint8Array> => {
    const file = await resolveInside(folder, '.', location, { file: path });
    // The executor says at which tensor it happened.
    if (!file.ok) throw new Error(first(file.diagnostics).message);
    return files.read(file.value.path, offset, length);
  };
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    return failure(fileDiagnostic(error, { file: path }, 'read'));
  }
  const executor = createOnnxExecutor(bytes, readExternal, basename(path));
  if (!executor.ok) return executor;
  const given = new Set(executor.value.inputs.map(({ name }) => name));
  return success({
    inputs: inputs.filter(({ name }) => given.has(name)),
    close: files.close,
    async run(feeds) {
      const outputs = await executor.value.run(feeds);
      if (!outputs.ok) throw new RuntimeFailure(first(outputs.diagnostics));
      return outputs.value;
    },
  });
}

function first([diagnostic]: readonly Diagnostic[]): Diagnostic {
  return diagnostic!;
}
