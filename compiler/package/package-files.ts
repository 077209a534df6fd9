import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { manifestName, type PackageManifest } from '../../files/manifest.ts';
import type { SafetensorsFile } from '../../files/safetensors.ts';
import type { GeneratedTensor, OnnxFile } from '../../targets/onnx/onnx-file.ts';
import type { Layout } from '../compile-options.ts';
import type { SourceModel } from '../read/source-model.ts';
import { huggingFaceFiles } from './hugging-face-files.ts';

/** Something to put into a package, and where: a path relative to it, with forward slashes. */
export type PackageEntry =
  | { readonly kind: 'bytes'; readonly path: string; readonly bytes: Uint8Array; readonly executable?: boolean }
  | { readonly kind: 'copy'; readonly path: string; readonly from: string }
  | { readonly kind: 'link'; readonly path: string; readonly file: SafetensorsFile }
  | { readonly kind: 'generate'; readonly path: string; readonly tensors: readonly GeneratedTensor[] };

/** What a package is made of, before anything is written. */
export interface PackagePlan {
  readonly entries: readonly PackageEntry[];
  /** Where the graphs are, in the order of {@link PackageParts}. */
  readonly graphs: readonly string[];
  readonly source: PackageManifest['source'];
}

/** A file that is written as it is. */
export interface ExtraFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Whether it may be run. */
  readonly executable?: boolean;
}

export interface PackageParts {
  readonly model: SourceModel;
  /** The main graph first. */
  readonly onnx: readonly OnnxFile[];
  readonly layout: Layout;
  /** Where graphs, weights and the model as it was go; by default where the layout has them. */
  readonly folder?: string | undefined;
  /** What else there is, such as bindings. */
  readonly extra: readonly ExtraFile[];
}

/**
 * Decides what goes where. The graphs' external data is beside them, under the paths that the model's folder has for it.
 * Of layout `rtc` all is in one folder, and that is a model folder too; of layout `huggingface` the graph, the weights
 * and the model as it was are in `onnx`, and the root has what describes the unrolled model.
 */
export async function planPackage({
  model,
  onnx,
  layout,
  extra,
  ...parts
}: PackageParts): Promise<Result<PackagePlan>> {
  const { folder = layout === 'huggingface' ? 'onnx' : '' } = parts;
  const beside = (path: string) => posix.join(folder, path);
  const described = await describeModel(model, folder);
  if (!described.ok) return described;
  const linked = new Set(onnx.flatMap((graph) => graph.linked));
  const entries: PackageEntry[] = [
    ...onnx.map(({ name, bytes }): PackageEntry => ({ kind: 'bytes', path: beside(name), bytes })),
    ...described.value,
    ...model.files
      .filter(({ path }) => linked.has(path))
      .map((file): PackageEntry => ({ kind: 'link', path: beside(file.path), file })),
    ...model.companions.map((path): PackageEntry => ({ kind: 'copy', path, from: join(model.folder, path) })),
    ...extra.map((file): PackageEntry => ({ kind: 'bytes', ...file })),
  ];
  for (const { generated, generatedFile } of onnx) {
    if (generated.length > 0) entries.push({ kind: 'generate', path: beside(generatedFile), tensors: generated });
  }
  if (layout === 'huggingface') {
    const files = await huggingFaceFiles(model);
    if (!files.ok) return files;
    entries.push(...files.value.map(({ path, value }): PackageEntry => ({ kind: 'bytes', path, bytes: json(value) })));
  }
  const collisions = findCollisions(entries);
  if (collisions.length > 0) return failure(...collisions);
  return success({
    entries: entries.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    graphs: onnx.map(({ name }) => beside(name)),
    source: {
      folder,
      model: beside(model.modelJson ?? 'model.json'),
      config: beside(model.configPath),
      missing: model.files.map(({ path }) => path).filter((path) => !linked.has(path)),
    },
  });
}

/** model.json, the index if it has one, and config.json: the model's own, or for an ordinary model written. */
async function describeModel(model: SourceModel, folder: string): Promise<Result<readonly PackageEntry[]>> {
  const copy = (path: string): PackageEntry => ({
    kind: 'copy',
    path: posix.join(folder, path),
    from: join(model.folder, path),
  });
  if (model.modelJson === undefined) {
    const { name, configPath, files, recursion } = model;
    const value = { format: 'rtc-model', version: 1, name, config: configPath, weights: files.map((f) => f.path) };
    const bytes = json({ ...value, recursion });
    return success([{ kind: 'bytes', path: posix.join(folder, 'model.json'), bytes }, copy(configPath)]);
  }
  const indices = await weightIndices(join(model.folder, model.modelJson));
  return indices.ok ? success([model.modelJson, model.configPath, ...indices.value].map(copy)) : indices;
}

/** The index files that a model.json names instead of its weights. It was checked when it was read. */
async function weightIndices(file: string): Promise<Result<readonly string[]>> {
  try {
    const { weights } = JSON.parse(await readFile(file, 'utf8')) as { readonly weights: readonly string[] };
    return success(weights.filter((path) => path.endsWith('.json')).map((path) => posix.normalize(path)));
  } catch (error) {
    return failure(fileDiagnostic(error, { file }, 'read'));
  }
}

/** Two things under one name, on file systems that see no difference between `A` and `a` too. */
function findCollisions(entries: readonly PackageEntry[]): readonly Diagnostic[] {
  const taken = new Map<string, string>([[manifestName, 'what rtc writes about the package']]);
  const problems: Diagnostic[] = [];
  for (const entry of entries) {
    const parents = entry.path.split('/').slice(0, -1);
    const holders = parents.map((_, i) =>
      parents
        .slice(0, i + 1)
        .join('/')
        .toLowerCase(),
    );
    const at = [entry.path.toLowerCase(), ...holders].find((path) => taken.has(path));
    const what = describeEntry(entry);
    if (at !== undefined) {
      problems.push({
        severity: 'error',
        code: 'name-collision',
        location: { file: entry.path },
        message: `In the package, "${entry.path}" would be ${what}, but that is the place of ${taken.get(at)}.`,
        hint: 'Rename the file in the model.',
      });
    }
    taken.set(entry.path.toLowerCase(), what);
  }
  return problems;
}

function describeEntry(entry: PackageEntry): string {
  switch (entry.kind) {
    case 'bytes':
      return 'a file that rtc writes';
    case 'generate':
      return 'the weights that rtc writes';
    case 'copy':
      return `the model's "${entry.from}"`;
    case 'link':
      return `the model's weights "${entry.file.path}"`;
  }
}

function json(value: unknown): Uint8Array {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}
