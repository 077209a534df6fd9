import { readFile } from 'node:fs/promises';
import { posix, resolve } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { resolveInside } from '../../../files/resolve-inside.ts';
import { externalFiles } from '../../../targets/onnx/external-files.ts';
import type { OnnxGraph } from '../../../targets/onnx/onnx-model.ts';
import { decodeModel } from '../../../targets/onnx/proto.ts';
import type { ContentHashes } from './content-hashes.ts';

export interface HashOptions {
  /** The package, as the user names it. */
  readonly folder: string;
  readonly hashes: ContentHashes;
  readonly signal?: AbortSignal | undefined;
}

/** SHA-256 of every file that a graph's weights are in, by its path in the package. */
export type GraphWeights = Readonly<Record<string, string>>;

/** Paths in the package of the files that a graph's weights are in, in the order of UTF-16 units. */
export function weightFiles(file: string, graph: OnnxGraph): readonly string[] {
  return externalFiles(graph).map((name) => posix.join(posix.dirname(file), name));
}

/**
 * What the weights of a graph are now, whatever rtc.json says of them. Refused, each file by name: what is missing or
 * cannot be read. Rejects with the signal's reason.
 * @param graph the graph's file in the package
 */
export async function graphWeights(graph: string, options: HashOptions): Promise<Result<GraphWeights>> {
  const shown = posix.join(options.folder, graph);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(resolve(options.folder, graph));
  } catch (error) {
    return failure(fileDiagnostic(error, { file: shown }, 'read'));
  }
  const decoded = decodeModel(bytes, shown);
  if (!decoded.ok) return decoded;
  const problems: Diagnostic[] = [];
  const weights: Record<string, string> = {};
  for (const path of weightFiles(graph, decoded.value.graph)) {
    const hashed = await hashInside(path, shown, options);
    if (hashed.ok) weights[path] = hashed.value;
    else problems.push(...hashed.diagnostics);
  }
  return problems.length > 0 ? failure(...problems) : success(weights);
}

/**
 * The SHA-256 of a file of the package.
 * @param sayer the file that names it, as the user would name that
 */
export async function hashInside(
  path: string,
  sayer: string,
  { folder, hashes, signal }: HashOptions,
): Promise<Result<string>> {
  const within = { absolutePath: resolve(folder), shown: folder, linksMayLeave: false };
  const found = await resolveInside(within, '.', path, { file: sayer });
  if (!found.ok) return found;
  try {
    return success(await hashes.hash(found.value.absolutePath, signal));
  } catch (error) {
    signal?.throwIfAborted();
    return failure(fileDiagnostic(error, { file: found.value.shown }, 'read'));
  }
}
