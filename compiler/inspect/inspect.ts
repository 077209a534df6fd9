import { stat } from 'node:fs/promises';
import { basename, dirname, extname } from 'node:path';
import { failure, type Result } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { manifestName } from '../../files/manifest.ts';
import { isPackage } from '../../files/package.ts';
import { inspectGraph } from './inspect-graph.ts';
import { inspectModel } from './inspect-model.ts';
import { inspectOnnx } from './inspect-onnx.ts';
import { inspectPackage } from './inspect-package.ts';
import type { Inspection } from './inspection.ts';

export interface InspectOptions {
  readonly signal?: AbortSignal;
}

/**
 * Says what something is made of: a model (model.json or a folder), a package, an .onnx file, or a graph of the IR in
 * an .rtc file. No weights are read.
 * @param path as the user names it
 */
export async function inspect(path: string, options: InspectOptions = {}): Promise<Result<Inspection>> {
  let folder: boolean;
  try {
    folder = (await stat(path)).isDirectory();
  } catch (error) {
    return failure(fileDiagnostic(error, { file: path }, 'read'));
  }
  if (folder) return (await isPackage(path)) ? inspectPackage(path, options) : inspectModel(path, options);
  if (basename(path) === manifestName) return inspectPackage(dirname(path), options);
  switch (extname(path).toLowerCase()) {
    case '.onnx':
      return inspectOnnx(path);
    case '.rtc':
      return inspectGraph(path);
    case '.json':
      return inspectModel(path, options);
    default:
      return failure({
        severity: 'error',
        code: 'unknown-kind',
        location: { file: path },
        message: `"${path}" is nothing that rtc can inspect.`,
        hint: 'Name a model.json, the folder of a model or of a package, an .onnx file, or an .rtc file.',
      });
  }
}
