import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { allNodes, type OnnxTensor, type OnnxValueInfo } from '../../targets/onnx/onnx-model.ts';
import { decodeModel } from '../../targets/onnx/proto.ts';
import { histogram } from './histogram.ts';
import { initializerUses } from './initializer-uses.ts';
import type { ExternalFile, InitializerInspection, OnnxInspection, TensorInspection } from './inspection.ts';

/** What is in an .onnx file, of rtc or of others. External data is looked for, not read. */
export async function inspectOnnx(file: string): Promise<Result<OnnxInspection>> {
  let bytes: Uint8Array;
  try {
    // Larger files are no protobuf, and more than Node reads at once.
    const { size } = await stat(file);
    if (size >= 2 ** 31) return failure(tooLarge(file, size));
    bytes = await readFile(file);
  } catch (error) {
    return failure(fileDiagnostic(error, { file }, 'read'));
  }
  const decoded = decodeModel(bytes, file);
  if (!decoded.ok) return decoded;
  const { graph, irVersion, opsets, producerName, producerVersion, metadata } = decoded.value;
  const nodes = [...allNodes(graph)];
  const initialized = new Set(graph.initializers.map(({ name }) => name));
  return success({
    kind: 'onnx',
    file,
    bytes: bytes.length,
    irVersion,
    opsets,
    producer: `${producerName} ${producerVersion}`.trim(),
    metadata,
    nodes: nodes.length,
    operators: histogram(nodes.map(({ domain, opType }) => (domain === '' ? opType : `${domain}:${opType}`))),
    initializers: await inspectInitializers(graph.initializers, initializerUses(graph), (location) =>
      join(dirname(file), location),
    ),
    // Before IR version 4 initializers were inputs, too, that nobody has to pass.
    inputs: graph.inputs.filter(({ name }) => !initialized.has(name)).map(inspectTensor),
    outputs: graph.outputs.map(inspectTensor),
  });
}

async function inspectInitializers(
  initializers: readonly OnnxTensor[],
  uses: ReadonlyMap<string, number>,
  pathOf: (location: string) => string,
): Promise<InitializerInspection> {
  const inline = initializers.filter(({ data }) => data.kind === 'inline');
  const shared = initializers
    .map((tensor) => ({
      name: tensor.name,
      type: tensor.elementType,
      dims: tensor.dims,
      bytes: tensorBytes(tensor),
      uses: uses.get(tensor.name) ?? 0,
    }))
    .filter((tensor) => tensor.uses > 1)
    .sort((a, b) => b.bytes * (b.uses - 1) - a.bytes * (a.uses - 1) || (a.name < b.name ? -1 : 1));
  return {
    count: initializers.length,
    inline: { count: inline.length, bytes: inline.reduce((sum, tensor) => sum + tensorBytes(tensor), 0) },
    external: await externalFiles(initializers, pathOf),
    types: histogram(initializers.map(({ elementType }) => elementType)).map(({ operator, count }) => ({
      type: operator,
      count,
    })),
    shared,
  };
}

async function externalFiles(
  initializers: readonly OnnxTensor[],
  pathOf: (location: string) => string,
): Promise<readonly ExternalFile[]> {
  // Two tensors may read the same bytes; they are counted once.
  const spans = new Map<string, Map<string, number>>();
  const tensors = new Map<string, number>();
  for (const { data } of initializers) {
    if (data.kind !== 'external') continue;
    const found = spans.get(data.location) ?? new Map<string, number>();
    spans.set(data.location, found.set(`${data.offset}+${data.length}`, data.length));
    tensors.set(data.location, (tensors.get(data.location) ?? 0) + 1);
  }
  return Promise.all(
    [...spans]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(async ([location, lengths]) => ({
        location,
        tensors: tensors.get(location)!,
        bytes: [...lengths.values()].reduce((sum, length) => sum + length, 0),
        fileBytes: await stat(pathOf(location)).then(
          ({ size }) => size,
          () => undefined,
        ),
      })),
  );
}

function tensorBytes({ data }: OnnxTensor): number {
  return data.kind === 'inline' ? data.bytes.length : data.length;
}

function inspectTensor({ name, elementType, dims }: OnnxValueInfo): TensorInspection {
  return { name, type: elementType ?? '?', dims: dims === undefined ? ['…'] : dims.map((dim) => dim ?? '?') };
}

function tooLarge(file: string, size: number) {
  return {
    severity: 'error',
    code: 'invalid-onnx',
    location: { file },
    message: `This is no ONNX model: it has ${size} bytes, and a protobuf ends below 2 GiB.`,
    hint: 'Weights of large models are in files of their own; name the .onnx file beside them.',
  } as const;
}
