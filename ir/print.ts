import type { Graph, Op, Output, Region, Value } from './graph.ts';
import { type AttrValue, type OpSpec, opTable } from './op-table.ts';
import { formatType } from './tensor-type.ts';
import { formatAttr } from './text/format-attr.ts';
import { formatWeight } from './text/format-weight.ts';
import { isBareName, isBareValueName } from './text/tokens.ts';

/** Lines longer than this are broken where there is a list to break. */
const width = 120;

/**
 * A graph as text, which {@link parseGraph} reads back as the same graph:
 *
 * ```
 * graph "tiny" folded(%x: f32[batch,4]) {
 *   weight %w: f32[2,4] = cast<f32>(file "model.safetensors" "w" bf16[2,4] @128+16)
 *   %h: f32[batch,2] = linear %x, %w @"depth.0/layer.0/mlp"
 *   return logits: %h
 * }
 * ```
 *
 * The stage `unrolled` and an empty name go without saying, and so does an output's name when its value has the same.
 */
export function printGraph(graph: Graph): string {
  const title = graph.name === '' ? '' : ` ${JSON.stringify(graph.name)}`;
  const stage = graph.stage === 'unrolled' ? '' : ` ${graph.stage}`;
  const lines = [
    ...breakList(`graph${title}${stage}(`, graph.inputs.map(declaration), ') {', ''),
    ...graph.weights.map(({ value, expr }) => `  weight ${declaration(value)} = ${formatWeight(expr)}`),
    ...graph.ops.flatMap((op) => printOp(op, '  ')),
    ...breakList('  return ', graph.outputs.map(printOutput), '', '  '),
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

function printOp(op: Op, indent: string): string[] {
  const operands = op.operands.length === 0 ? '' : ` ${op.operands.map(valueName).join(', ')}`;
  const scope = op.scope === '' ? '' : ` @${JSON.stringify(op.scope)}`;
  const call = `${op.kind}${operands}${attributes(op)}${scope}`;
  const lines = resultLines(op.results.map(declaration), call, indent);
  return op.kind === 'loop' ? [...lines.slice(0, -1), ...bodyLines(lines.at(-1)!, op.body, indent)] : lines;
}

/** One line if it fits, else a line for each result, the last with the operation. */
function resultLines(results: readonly string[], call: string, indent: string): string[] {
  const line = `${indent}${results.join(', ')}${results.length > 0 ? ' = ' : ''}${call}`;
  if (line.length <= width || results.length < 2) return [line];
  return [...results.slice(0, -1).map((result) => `${indent}${result},`), `${indent}${results.at(-1)} = ${call}`];
}

function bodyLines(head: string, body: Region, indent: string): string[] {
  return [
    ...breakList(`${head} (`, body.parameters.map(declaration), ') {', indent),
    ...body.ops.flatMap((op) => printOp(op, `${indent}  `)),
    ...breakList(`${indent}  return `, body.results.map(valueName), '', `${indent}  `),
    `${indent}}`,
  ];
}

/** `before`, items and `after` on one line if they fit, else an item a line, deeper than `indent`. */
function breakList(before: string, items: readonly string[], after: string, indent: string): string[] {
  const line = `${before}${items.join(', ')}${after}`.trimEnd();
  if (line.length <= width || items.length < 2) return [line];
  const rows = items.map((item, i) => `${indent}  ${item}${i < items.length - 1 ? ',' : ''}`);
  return [before.trimEnd(), ...rows, ...(after === '' ? [] : [`${indent}${after}`])];
}

function attributes(op: Op): string {
  const names = Object.keys((opTable[op.kind] as OpSpec).attrs);
  if (names.length === 0) return '';
  const values = op.attrs as Readonly<Record<string, AttrValue>>;
  return ` {${names.map((name) => `${name}=${formatAttr(values[name]!)}`).join(', ')}}`;
}

function declaration(value: Value): string {
  return `${valueName(value)}: ${formatType(value.type)}`;
}

function valueName({ name }: Value): string {
  return `%${isBareValueName(name) ? name : JSON.stringify(name)}`;
}

function printOutput({ name, value }: Output): string {
  if (name === value.name) return valueName(value);
  return `${isBareName(name) ? name : JSON.stringify(name)}: ${valueName(value)}`;
}
