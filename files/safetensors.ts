import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { byteLength, type DType } from '../ir/dtype.ts';
import { type Diagnostic, failure, type Location, type Result, success } from './diagnostics.ts';
import { fileDiagnostic } from './file-diagnostic.ts';
import { showValue } from './json.ts';
import { scanJson } from './scan-json.ts';

/** One tensor of a safetensors file: where its bytes are. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** From the start of the file (not of the data section), in bytes. */
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
}

/** A safetensors file whose header was read and checked; its data was not read. */
export interface SafetensorsFile {
  /** Relative to the model's folder, with forward slashes. */
  readonly path: string;
  readonly absolutePath: string;
  readonly size: number;
  /** Bytes before the data section: 8 + the header's length. */
  readonly dataStart: number;
  /** SHA-256 of the first `dataStart` bytes, hex. */
  readonly headerHash: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** The format's names of the types that rtc reads. */
export const safetensorsDtypes: Readonly<Record<string, DType>> = {
  F64: 'f64',
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
  I64: 'i64',
  I32: 'i32',
  I8: 'i8',
  U8: 'u8',
  BOOL: 'bool',
};

/** As in the reference implementation: a longer header is an attack, or not a header. */
const maxHeaderLength = 100_000_000;

/**
 * Reads the header of a safetensors file, never its data, and checks all that the format promises: that the header is
 * whole and sane, and that the tensors cover the data section without gaps or overlaps.
 * @param names `path`: relative to the model's folder; `shown`: as the user would name it
 */
export async function readSafetensors(
  absolutePath: string,
  names: { readonly path: string; readonly shown: string },
): Promise<Result<SafetensorsFile>> {
  const location: Location = { file: names.shown };
  let raw: RawHeader | Diagnostic;
  try {
    const handle = await open(absolutePath, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      raw = await readHeader(handle, location);
    } finally {
      await handle.close();
    }
  } catch (error) {
    return failure(fileDiagnostic(error, location, 'read'));
  }
  if ('code' in raw) return failure(raw);
  const { size, bytes } = raw;
  const header = parseHeader(bytes.subarray(8), location);
  if (!header.ok) return header;
  const { metadata } = header.value;
  // In the order of their bytes: a JavaScript object would put names that look like numbers first.
  const entries = header.value.entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  const problems = checkLayout(entries, size - bytes.length, location);
  if (problems.length > 0) return failure(...problems);
  const tensors = new Map<string, TensorEntry>();
  for (const { name, dtype, shape, begin, end } of entries) {
    tensors.set(name, { name, dtype, shape, offset: bytes.length + begin, length: end - begin });
  }
  return success({
    path: names.path,
    absolutePath,
    size,
    dataStart: bytes.length,
    headerHash: createHash('sha256').update(bytes).digest('hex'),
    metadata,
    tensors,
  });
}

/** The file's size, and its first bytes: the length and the header. */
interface RawHeader {
  readonly size: number;
  readonly bytes: Buffer;
}

/** A tensor as the header declares it; offsets count from the start of the data section. */
interface HeaderEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

async function readHeader(handle: FileHandle, location: Location): Promise<RawHeader | Diagnostic> {
  const stat = await handle.stat();
  if (!stat.isFile()) return problem('not-a-file', `"${location.file}" is not a file.`, location);
  if (stat.size < 8) {
    const message = `The file has ${stat.size} bytes; a safetensors file starts with 8 bytes of header length.`;
    return problem('truncated-file', message, location);
  }
  const prefix = Buffer.alloc(8);
  await readFully(handle, prefix, 0);
  const length = prefix.readBigUInt64LE();
  if (length > BigInt(maxHeaderLength)) {
    const message = `The header says that it has ${length} bytes; at most ${maxHeaderLength} were expected.`;
    return { ...problem('header-too-large', message, location), hint: 'This may not be a safetensors file.' };
  }
  const dataStart = 8 + Number(length);
  if (dataStart > stat.size) {
    const message = `The header says that it has ${length} bytes, but the file has only ${stat.size - 8} behind its first 8.`;
    return { ...problem('truncated-file', message, location), hint: 'The file may be cut off: download it again.' };
  }
  const bytes = Buffer.alloc(dataStart);
  prefix.copy(bytes);
  await readFully(handle, bytes, 8);
  return { size: stat.size, bytes };
}

async function readFully(handle: FileHandle, buffer: Buffer, from: number): Promise<void> {
  for (let at = from; at < buffer.length; ) {
    const { bytesRead } = await handle.read(buffer, at, buffer.length - at, at);
    // The file became shorter since it was measured; what is left out stays zero and does not parse.
    if (bytesRead === 0) return;
    at += bytesRead;
  }
}

function parseHeader(
  bytes: Buffer,
  location: Location,
): Result<{ readonly entries: readonly HeaderEntry[]; readonly metadata: Readonly<Record<string, string>> }> {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch {
    return failure(problem('invalid-header', 'The header is not JSON in UTF-8.', location));
  }
  if (!isRecord(header)) {
    return failure(problem('invalid-header', `The header is ${showValue(header)}; an object was expected.`, location));
  }
  const scan = scanJson(text, 8);
  if (scan.tooDeepAt !== undefined) {
    return failure(problem('invalid-header', 'The header nests deeper than a header does.', location));
  }
  const problems: Diagnostic[] = [
    ...scan.duplicateKeys.map(({ key }) =>
      problem('duplicate-key', `The key "${key}" stands twice in the header.`, { ...location, path: key }),
    ),
    ...scan.forbiddenKeys.map(({ key }) =>
      problem('forbidden-key', `The key "${key}" is not allowed in a header.`, { ...location, path: key }),
    ),
  ];
  const entries: HeaderEntry[] = [];
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (isRecord(value) && Object.values(value).every((v) => typeof v === 'string')) {
        metadata = value as Readonly<Record<string, string>>;
      } else {
        const message = '"__metadata__" must be an object whose values are strings.';
        problems.push(problem('invalid-header', message, { ...location, path: name }));
      }
      continue;
    }
    const entry = readEntry(name, value, location);
    if ('code' in entry) problems.push(entry);
    else entries.push(entry);
  }
  return problems.length > 0 ? failure(...problems) : success({ entries, metadata });
}

function readEntry(name: string, value: unknown, file: Location): HeaderEntry | Diagnostic {
  const location = { ...file, path: name };
  if (!isRecord(value)) {
    const message = `The header's entry for tensor "${name}" is ${showValue(value)}; an object was expected.`;
    return problem('invalid-header', message, location);
  }
  const unknown = Object.keys(value).find((key) => key !== 'dtype' && key !== 'shape' && key !== 'data_offsets');
  if (unknown !== undefined) {
    const message = `Tensor "${name}" has the key "${unknown}"; "dtype", "shape" and "data_offsets" were expected.`;
    return problem('invalid-header', message, location);
  }
  const { dtype: dtypeName, shape, data_offsets: offsets } = value;
  const dtype =
    typeof dtypeName === 'string' && Object.hasOwn(safetensorsDtypes, dtypeName)
      ? safetensorsDtypes[dtypeName]
      : undefined;
  if (dtype === undefined) {
    const message = `Tensor "${name}" has the type ${showValue(dtypeName)}; rtc reads ${Object.keys(safetensorsDtypes).join(', ')}.`;
    return problem('unsupported-dtype', message, location);
  }
  if (!isCounts(shape)) {
    const message = `Tensor "${name}" has the shape ${showValue(shape)}; a list of whole numbers from 0 was expected.`;
    return problem('invalid-shape', message, location);
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    const message = `Tensor "${name}" has the data_offsets ${showValue(offsets)}; two whole numbers from 0 were expected.`;
    return problem('invalid-offsets', message, location);
  }
  const [begin, end] = offsets as readonly [number, number];
  if (begin > end) {
    const message = `Tensor "${name}" ends at byte ${end}, before it begins at byte ${begin}.`;
    return problem('invalid-offsets', message, location);
  }
  const elements = shape.reduce((product, dim) => product * dim, 1);
  if (!Number.isSafeInteger(elements)) {
    const message = `Tensor "${name}" has the shape ${showValue(shape)}, which is more elements than a file can hold.`;
    return problem('invalid-shape', message, location);
  }
  const expected = byteLength(dtype, elements);
  if (end - begin !== expected) {
    const message = `Tensor "${name}" of ${dtypeName} and shape ${showValue(shape)} takes ${expected} bytes, but its data_offsets span ${end - begin}.`;
    return problem('invalid-offsets', message, location);
  }
  return { name, dtype, shape, begin, end };
}

/** Tensors, in the order of their bytes, must follow each other from the first byte of the data section to its last. */
function checkLayout(entries: readonly HeaderEntry[], dataLength: number, location: Location): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const outside = entries.filter(({ end }) => end > dataLength);
  for (const { name, begin, end } of outside.slice(0, 3)) {
    const message = `Tensor "${name}" is at bytes ${begin} to ${end} of the data, but the file has only ${dataLength} bytes of data.`;
    const hint = 'The file may be cut off: download it again.';
    problems.push({ ...problem('tensor-out-of-range', message, { ...location, path: name }), hint });
  }
  if (outside.length > 3) {
    problems.push(
      problem('tensor-out-of-range', `${outside.length - 3} more tensors are beyond the end of the file.`, location),
    );
  }
  if (problems.length > 0) return problems;
  let at = 0;
  let previous: string | undefined;
  for (const { name, begin, end } of entries) {
    if (begin < at) {
      const message = `Tensors "${previous}" and "${name}" overlap: "${name}" begins at byte ${begin}, before byte ${at}.`;
      problems.push(problem('overlapping-tensors', message, { ...location, path: name }));
    } else if (begin > at) {
      const message = `Bytes ${at} to ${begin} of the data, before tensor "${name}", belong to no tensor.`;
      problems.push(problem('data-gap', message, { ...location, path: name }));
    }
    if (end >= at) previous = name;
    at = Math.max(at, end);
  }
  if (at < dataLength) {
    problems.push(
      problem('data-gap', `Bytes ${at} to ${dataLength} of the data, at its end, belong to no tensor.`, location),
    );
  }
  return problems;
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function problem(code: string, message: string, location: Location): Diagnostic {
  return { severity: 'error', code, location, message };
}
