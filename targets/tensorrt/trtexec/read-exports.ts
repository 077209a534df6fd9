import { readFile } from 'node:fs/promises';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';

/** An output as `--exportOutput` writes it. */
export interface ExportedTensor {
  readonly name: string;
  /** Empty for a scalar. */
  readonly shape: readonly number[];
  /** In C order. Floats have six significant digits, as trtexec prints them; NaN and infinities are read. */
  readonly values: Float64Array;
}

/** One execution as `--exportTimes` writes it, in milliseconds. Warm-up is left out by trtexec. */
export interface ExportedTime {
  readonly h2dMs: number;
  readonly computeMs: number;
  readonly d2hMs: number;
  readonly latencyMs: number;
}

/** A layer of an engine as `--exportLayerInfo` writes it. */
export interface ExportedLayer {
  readonly name: string;
  /** Undefined where the engine was built with names only. */
  readonly type: string | undefined;
  /** Formats of its outputs, such as `Half` or `Row major linear FP16 format`; they tell the precision. */
  readonly formats: readonly string[];
}

/**
 * What `--exportOutput` left in `file`. Names are not escaped there, and numbers are not always JSON's, so that it is read
 * as what it is. Fails with `trtexec-failed` when it is something else, or cut off.
 */
export async function readExportedOutputs(file: string): Promise<Result<readonly ExportedTensor[]>> {
  return read(file, parseOutputs);
}

/** What `--exportTimes` left in `file`; fails with `trtexec-failed` when it is something else, cut off, or empty. */
export async function readExportedTimes(file: string): Promise<Result<readonly ExportedTime[]>> {
  return read(file, (text) => {
    const rows = json(text);
    if (!Array.isArray(rows) || rows.length === 0) return undefined;
    const times = rows.map(timeOf);
    return times.every((time) => time !== undefined) ? times : undefined;
  });
}

/** What `--exportLayerInfo` left in `file`, the layers in the order in which they run. */
export async function readExportedLayers(file: string): Promise<Result<readonly ExportedLayer[]>> {
  return read(file, (text) => {
    const info = json(text);
    if (!isRecord(info) || !Array.isArray(info.Layers)) return undefined;
    return info.Layers.map((layer: unknown) => {
      if (!isRecord(layer)) return { name: String(layer), type: undefined, formats: [] };
      const outputs = Array.isArray(layer.Outputs) ? layer.Outputs.filter(isRecord) : [];
      return {
        name: String(layer.Name ?? ''),
        type: typeof layer.LayerType === 'string' ? layer.LayerType : undefined,
        formats: outputs.map((output) => String(output['Format/Datatype'] ?? output.Format ?? '')),
      };
    });
  });
}

async function read<T>(file: string, parse: (text: string) => T | undefined): Promise<Result<T>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { message } = fileDiagnostic(error, { file }, 'read');
    return failure({ ...broken(file), message: `trtexec exported nothing that can be read. ${message}` });
  }
  const parsed = parse(text);
  return parsed === undefined ? failure(broken(file)) : success(parsed);
}

function broken(file: string): Diagnostic {
  return {
    severity: 'error',
    code: 'trtexec-failed',
    location: { file },
    message: `"${file}" is not what trtexec exports, or it is cut off.`,
    hint: 'Is the disk full? Otherwise this version of trtexec writes a form that rtc does not know.',
  };
}

/**
 * `[ { "name" : "x", "dimensions" : "2x3", "values" : [ 1, nan, -2.5e-06 ] } , … ]`, found by its three keys in their
 * order: `"` may stand in a name, and then ends it only in front of the next key.
 */
function parseOutputs(text: string): readonly ExportedTensor[] | undefined {
  const tensors: ExportedTensor[] = [];
  const head = /\{\s*"name"\s*:\s*"([^\n]*)"\s*,\s*"dimensions"\s*:\s*"([^"\n]*)"\s*,\s*"values"\s*:\s*\[/y;
  const between = /\s*,\s*/y;
  let at = text.search(/\S/);
  if (text[at] !== '[') return undefined;
  at = skipBlanks(text, at + 1);
  while (text[at] !== ']') {
    head.lastIndex = at;
    const match = head.exec(text);
    if (!match) return undefined;
    const end = text.indexOf(']', head.lastIndex);
    const shape = shapeOf(match[2]!);
    const values = end < 0 ? undefined : numbersOf(text, head.lastIndex, end);
    if (shape === undefined || values === undefined) return undefined;
    if (values.length !== shape.reduce((product, size) => product * size, 1)) return undefined;
    tensors.push({ name: match[1]!, shape, values });
    at = skipBlanks(text, end + 1);
    if (text[at] !== '}') return undefined;
    between.lastIndex = at + 1;
    at = between.test(text) ? between.lastIndex : skipBlanks(text, at + 1);
  }
  return tensors;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && text.charCodeAt(at) <= 32) at++;
  return at;
}

/** `2x3`, or as some builds print it `(2, 3)`; nothing for a scalar. */
function shapeOf(text: string): readonly number[] | undefined {
  const inner = text.replace(/^\((.*)\)$/, '$1').trim();
  if (inner === '') return [];
  const sizes = inner.split(/x|,\s*/).map(Number);
  return sizes.every((size) => Number.isInteger(size) && size >= 0) ? sizes : undefined;
}

/** Numbers between two places, separated by commas. Read one by one: a logits tensor has millions. */
function numbersOf(text: string, from: number, to: number): Float64Array | undefined {
  let count = 1;
  for (let at = from; at < to; at++) if (text.charCodeAt(at) === comma) count++;
  if (count === 1 && text.slice(from, to).trim() === '') return new Float64Array(0);
  const values = new Float64Array(count);
  let start = from;
  for (let i = 0; i < count; i++) {
    const next = text.indexOf(',', start);
    const end = next < 0 || next > to ? to : next;
    const value = numberOf(text.slice(start, end).trim());
    if (value === undefined) return undefined;
    values[i] = value;
    start = end + 1;
  }
  return values;
}

const comma = 44;

function numberOf(text: string): number | undefined {
  if (/^-?nan(?:\([^)]*\))?$/i.test(text)) return Number.NaN;
  const infinite = /^([+-]?)inf(?:inity)?$/i.exec(text);
  if (infinite) return infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = text === '' ? Number.NaN : Number(text);
  return Number.isNaN(value) ? undefined : value;
}

function timeOf(row: unknown): ExportedTime | undefined {
  if (!isRecord(row)) return undefined;
  const { h2dMs, computeMs, d2hMs, latencyMs } = row;
  const numbers = [h2dMs, computeMs, d2hMs, latencyMs];
  if (!numbers.every((x) => typeof x === 'number' && Number.isFinite(x) && x >= 0)) return undefined;
  return { h2dMs, computeMs, d2hMs, latencyMs } as ExportedTime;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
