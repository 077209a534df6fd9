import { join, posix } from 'node:path';
import type { Diagnostic, Location } from '../../files/diagnostics.ts';
import { type JsonDocument, locationOf, readJson, showValue } from '../../files/json.ts';
import { type NamedFile, type NamedFolder, resolveInside } from '../../files/resolve-inside.ts';
import { readSafetensors, type SafetensorsFile } from '../../files/safetensors.ts';
import type { SourceTensor } from './source-model.ts';
import { told } from './told.ts';

/** The weight files of a model, headers read, and all their tensors. */
export interface Weights {
  readonly files: readonly SafetensorsFile[];
  readonly tensors: ReadonlyMap<string, SourceTensor>;
}

/** A path of a weight file or an index, and the place that names it. */
export interface WeightsEntry {
  readonly path: string;
  readonly where: Location;
}

/**
 * Reads the headers of all weight files: those listed, or those that one index lists.
 * @param problems what is found wrong is appended here; the rest is still returned
 */
export async function readWeights(
  folder: NamedFolder,
  entries: readonly WeightsEntry[],
  problems: Diagnostic[],
  signal?: AbortSignal,
): Promise<Weights> {
  const named: NamedFile[] = [];
  let index: WeightIndex | undefined;
  for (const { path, where } of entries) {
    const isIndex = path.endsWith('.index.json');
    if (!isIndex && !path.endsWith('.safetensors')) {
      const message = `"${path}" is neither a .safetensors file nor an index (.safetensors.index.json).`;
      problems.push({ severity: 'error', code: 'not-weights', location: where, message });
      continue;
    }
    if (isIndex && entries.length > 1) {
      const message = `"${path}" is an index; it must be the only entry of "weights".`;
      problems.push({ severity: 'error', code: 'not-weights', location: where, message });
      continue;
    }
    const file = await resolveInside(folder, '.', path, where);
    problems.push(...file.diagnostics);
    if (!file.ok) continue;
    if (isIndex) {
      index = await readIndex(folder, file.value, problems);
      named.push(...(index?.files ?? []));
    } else if (named.some((other) => other.path === file.value.path)) {
      const message = `The weight file "${path}" is listed twice.`;
      problems.push({ severity: 'error', code: 'duplicate-file', location: where, message });
    } else {
      named.push(file.value);
    }
  }
  const files: SafetensorsFile[] = [];
  for (const file of named) {
    signal?.throwIfAborted();
    const read = await readSafetensors(file.absolutePath, { path: file.path, shown: file.shown });
    problems.push(...read.diagnostics);
    if (read.ok) files.push(read.value);
  }
  const tensors = collectTensors(folder, files, problems);
  if (index !== undefined && files.length === named.length) problems.push(...checkIndex(index, tensors));
  return { files, tensors };
}

/** An index that was read: which tensor is in which file, and the files in the order of their first mention. */
interface WeightIndex {
  readonly document: JsonDocument;
  /** File paths are relative to the model's folder. */
  readonly fileOf: ReadonlyMap<string, string>;
  readonly files: readonly NamedFile[];
}

async function readIndex(
  folder: NamedFolder,
  file: NamedFile,
  problems: Diagnostic[],
): Promise<WeightIndex | undefined> {
  const read = await readJson(file.absolutePath, file.shown, { maxBytes: 64 * 2 ** 20, maxDepth: 16 });
  problems.push(...read.diagnostics);
  if (!read.ok) return undefined;
  const document = read.value;
  const map = isRecord(document.value) ? document.value.weight_map : undefined;
  if (!isRecord(map) || Object.keys(map).length === 0) {
    const message = `Expected an object of tensor names and files at "weight_map", found ${isRecord(map) ? 'an empty one' : showValue(map)}.`;
    problems.push({
      severity: 'error',
      code: 'invalid-index',
      location: locationOf(document, ['weight_map']),
      message,
    });
    return undefined;
  }
  const from = posix.dirname(file.path);
  const fileOf = new Map<string, string>();
  const files = new Map<string, NamedFile | undefined>();
  const nameless: string[] = [];
  for (const [tensor, path] of Object.entries(map)) {
    if (typeof path !== 'string') {
      nameless.push(tensor);
      continue;
    }
    if (!files.has(path)) {
      const resolved = await resolveInside(folder, from, path, locationOf(document, ['weight_map', tensor]));
      problems.push(...resolved.diagnostics);
      files.set(path, resolved.ok ? resolved.value : undefined);
    }
    const found = files.get(path);
    if (found !== undefined) fileOf.set(tensor, found.path);
  }
  problems.push(
    ...told(nameless, 'invalid-index', locationOf(document, ['weight_map']), (tensor) => ({
      location: locationOf(document, ['weight_map', tensor]),
      message: `Tensor "${tensor}" is said to be in ${showValue(map[tensor])}; the name of a file was expected.`,
    })),
  );
  const distinct = new Map([...files.values()].flatMap((f) => (f === undefined ? [] : [[f.path, f] as const])));
  return { document, fileOf, files: [...distinct.values()] };
}

/** The index and the shards must say the same. */
function checkIndex(
  { document, fileOf }: WeightIndex,
  tensors: ReadonlyMap<string, SourceTensor>,
): readonly Diagnostic[] {
  const whole = locationOf(document, ['weight_map']);
  const misplaced = [...fileOf].filter(([tensor, path]) => tensors.get(tensor)?.file.path !== path);
  const unlisted = [...tensors.values()].filter(({ name }) => !fileOf.has(name));
  return [
    ...told(misplaced, 'index-mismatch', whole, ([tensor, path]) => {
      const found = tensors.get(tensor);
      const truth = found === undefined ? 'no shard has it' : `it is in "${found.file.path}"`;
      return {
        location: locationOf(document, ['weight_map', tensor]),
        message: `The index says that tensor "${tensor}" is in "${path}", but ${truth}.`,
      };
    }),
    ...told(unlisted, 'index-mismatch', whole, ({ name, file }) => ({
      location: whole,
      message: `Tensor "${name}" is in "${file.path}", but the index does not list it.`,
    })),
  ];
}

function collectTensors(
  folder: NamedFolder,
  files: readonly SafetensorsFile[],
  problems: Diagnostic[],
): ReadonlyMap<string, SourceTensor> {
  const tensors = new Map<string, SourceTensor>();
  const again: SourceTensor[] = [];
  for (const file of files) {
    for (const [name, entry] of file.tensors) {
      if (tensors.has(name)) again.push({ ...entry, file });
      else tensors.set(name, { ...entry, file });
    }
  }
  const shown = ({ file }: SourceTensor) => join(folder.shown, file.path);
  const whole = { file: again[0] === undefined ? folder.shown : shown(again[0]) };
  problems.push(
    ...told(again, 'duplicate-tensor', whole, (tensor) => ({
      location: { file: shown(tensor), path: tensor.name },
      message: `Tensor "${tensor.name}" is in "${tensors.get(tensor.name)?.file.path}" and in "${tensor.file.path}".`,
    })),
  );
  return tensors;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
