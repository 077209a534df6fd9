import { join } from 'node:path';
import { type Result, success } from '../../files/diagnostics.ts';
import { mainGraph, readPackage } from '../../files/package.ts';
import { readPlans } from '../tensorrt/plans/read-plans.ts';
import { inspectOnnx } from './inspect-onnx.ts';
import type { PackageInspection } from './inspection.ts';

/** What rtc.json says of a package, what is in its main graph, and its engines. Files are checked by their sizes. */
export async function inspectPackage(
  folder: string,
  options: { readonly signal?: AbortSignal },
): Promise<Result<PackageInspection>> {
  const read = await readPackage(folder, { check: 'sizes', ...options });
  if (!read.ok) return read;
  const { manifest } = read.value;
  const graph = await inspectOnnx(join(folder, mainGraph(manifest).file));
  if (!graph.ok) return graph;
  const plans = await readPlans(folder, manifest);
  if (!plans.ok) return plans;
  const diagnostics = [...read.diagnostics, ...plans.diagnostics];
  return success({ kind: 'package', manifest, graph: graph.value, plans: plans.value }, diagnostics);
}
