import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { formatManifest, manifestSchema } from '../../files/manifest.ts';
import { readSafetensors } from '../../files/safetensors.ts';
import type { OnnxAttribute, OnnxGraph, OnnxModel, OnnxNode } from '../../targets/onnx/onnx-model.ts';
import { decodeModel, encodeModel } from '../../targets/onnx/proto.ts';

/** Writes a file of a package anew, and its hash into rtc.json: as if rtc had written it so. */
function forge(folder: string, file: string, bytes: Uint8Array): void {
  // Not in place: the file may be a link to one of the tests' own models.
  rmSync(join(folder, file));
  writeFileSync(join(folder, file), bytes);
  const manifest = manifestSchema.parse(JSON.parse(readFileSync(join(folder, 'rtc.json'), 'utf8')));
  const known = manifest.files[file];
  if (known?.origin === 'written') {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const files = { ...manifest.files, [file]: { ...known, size: bytes.length, sha256 } };
    writeFileSync(join(folder, 'rtc.json'), formatManifest({ ...manifest, files }));
  }
}

/** Changes the graph of a package and forges its hash. */
export function forgeGraph(folder: string, change: (graph: OnnxGraph) => OnnxGraph): void {
  const decoded = decodeModel(readFileSync(join(folder, 'model.onnx')), 'model.onnx');
  if (!decoded.ok) expect.fail('the graph does not decode');
  const model: OnnxModel = { ...decoded.value, graph: change(decoded.value.graph) };
  forge(folder, 'model.onnx', encodeModel(model));
}

/** Changes one number of a weight file: the one in the middle of the tensor. */
export async function forgeWeight(folder: string, file: string, tensor: string): Promise<void> {
  const path = join(folder, file);
  const header = await readSafetensors(path, { path: file, shown: path });
  const entry = header.ok ? header.value.tensors.get(tensor) : undefined;
  if (!entry) expect.fail(`there is no ${tensor} in ${file}`);
  const bytes = readFileSync(path);
  const width = entry.dtype === 'f32' ? 4 : 2;
  const middle = entry.offset + width * Math.floor(entry.length / width / 2);
  // The top byte: sign and most of the exponent.
  bytes[middle + width - 1] = 0x41;
  forge(folder, file, bytes);
}

/** Moves the external data of the first initializer that fits by a row. */
export function moveOffset(graph: OnnxGraph, fits: (name: string) => boolean): OnnxGraph {
  let moved = false;
  const initializers = graph.initializers.map((tensor) => {
    const { data, dims } = tensor;
    if (moved || data.kind !== 'external' || !fits(tensor.name)) return tensor;
    moved = true;
    return { ...tensor, data: { ...data, offset: data.offset + data.length / dims[0]! } };
  });
  expect(moved).toBe(true);
  return { ...graph, initializers };
}

/** Changes the first node that `change` changes, in bodies of loops too. */
export function changeNode(graph: OnnxGraph, change: (node: OnnxNode) => OnnxNode | undefined): OnnxGraph {
  let changed = false;
  const visit = (inner: OnnxGraph): OnnxGraph => ({
    ...inner,
    nodes: inner.nodes.map((node) => {
      const other = changed ? undefined : change(node);
      changed ||= other !== undefined;
      const attributes = Object.entries((other ?? node).attributes).map(([name, attribute]): [string, OnnxAttribute] =>
        attribute.kind === 'graph' ? [name, { ...attribute, value: visit(attribute.value) }] : [name, attribute],
      );
      return { ...(other ?? node), attributes: Object.fromEntries(attributes) };
    }),
  });
  const result = visit(graph);
  expect(changed).toBe(true);
  return result;
}

/** Gives the first `opType` that has the attribute another value of it. */
export function changeAttribute(graph: OnnxGraph, opType: string, name: string, value: OnnxAttribute): OnnxGraph {
  return changeNode(graph, (node) =>
    node.opType === opType && node.attributes[name]
      ? { ...node, attributes: { ...node.attributes, [name]: value } }
      : undefined,
  );
}
