import { basename } from 'node:path';
import { formatBytes } from './format-bytes.ts';
import type { Heading } from './format-inspection.ts';
import { tensorRows } from './format-tensors.ts';
import type { OnnxInspection } from './inspection.ts';
import { printable } from './printable.ts';
import { listLines, plural, section } from './section.ts';

/** Shared initializers that are named one by one; of the rest the number is enough. */
const namedShared = 10;

export function formatOnnx(onnx: OnnxInspection, heading: Heading): readonly string[] {
  return [
    `${heading(printable(basename(onnx.file)))}  ONNX model of ${formatBytes(onnx.bytes)}`,
    ...section('Graph', graphRows(onnx), heading),
    ...section('Weights', initializerRows(onnx), heading),
    ...section('Used more than once', sharedRows(onnx), heading, ['left', 'left', 'right', 'right']),
    ...section('Operators', operatorRows(onnx), heading),
    ...section(
      'Metadata',
      Object.entries(onnx.metadata).map((entry) => entry.map(printable)),
      heading,
    ),
    ...section('Inputs', tensorRows(onnx.inputs), heading),
    ...section('Outputs', tensorRows(onnx.outputs), heading),
  ];
}

export function graphRows({ producer, irVersion, opsets, nodes, operators }: OnnxInspection): readonly string[][] {
  const domains = opsets.map(({ domain, version }) => `${printable(domain || 'ai.onnx')} ${version}`);
  return [
    ...(producer === '' ? [] : [['producer', printable(producer)]]),
    ['opset', domains.join(', ')],
    ['IR', String(irVersion)],
    ['nodes', `${plural(nodes, 'node')} of ${plural(operators.length, 'kind')}`],
  ];
}

export function operatorRows({ operators }: OnnxInspection): readonly string[][] {
  return listLines(operators.map(({ operator, count }) => `${count} ${printable(operator)}`)).map((line) => [line]);
}

export function initializerRows({ initializers }: OnnxInspection): readonly string[][] {
  const { count, inline, external, types, shared } = initializers;
  if (count === 0) return [['none', '']];
  const copies = shared.reduce((sum, { bytes, uses }) => sum + bytes * (uses - 1), 0);
  return [
    [
      'initializers',
      `${count}: ${types.map((type) => `${type.count} ${printable(type.type.toLowerCase())}`).join(', ')}`,
    ],
    ...(inline.count > 0 ? [['in the file', `${inline.count}, ${formatBytes(inline.bytes)}`]] : []),
    ...external.map(({ location, tensors, bytes, fileBytes }) => [
      'external',
      `${tensors}, ${formatBytes(bytes)} of ${printable(location)} (${fileBytes === undefined ? 'missing' : formatBytes(fileBytes)})`,
    ]),
    ...(shared.length > 0
      ? [['shared', `${shared.length}; copies for every use would take ${formatBytes(copies)} more`]]
      : []),
  ];
}

function sharedRows({ initializers: { shared } }: OnnxInspection): readonly string[][] {
  const rows = shared
    .slice(0, namedShared)
    .map(({ name, type, dims, bytes, uses }) => [
      printable(name),
      `${type.toLowerCase()}[${dims.join(', ')}]`,
      formatBytes(bytes),
      `${uses} uses`,
    ]);
  const more = shared.length - rows.length;
  return more > 0 ? [...rows, [`and ${more} more`]] : rows;
}
