import { join } from 'node:path';
import { type Result, success } from '../../files/diagnostics.ts';
import { mainGraph, readPackage } from '../../files/package.ts';
import { inspectOnnx } from './inspect-onnx.ts';
import type { PackageInspection } from './inspection.ts';

/** What rtc.json says of a package, and what is in its main graph. Files are checked by their sizes. */
export async function inspectPackage(
  folder: string,
  options: { readonly signal?: AbortSignal },
): Promise<Result<PackageInspection>> {
  const read = await readPackage(folder, { check: 'sizes', ...options });
  if (!read.ok) return read;
  const { manifest } = read.value;
  const graph = await inspectOnnx(join(folder, mainGraph(manifest).file));
  if (!graph.ok) return graph;
  return success({ kind: 'package', manifest, graph: graph.value }, read.diagnostics);
}
