import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join, posix, resolve } from 'node:path';
import { checkInterface } from './check-interface.ts';
import { checkRecursion } from './check-recursion.ts';
import { type Diagnostic, failure, hasErrors, type Location, type Result, success } from './diagnostics.ts';
import { fileDiagnostic } from './file-diagnostic.ts';
import { type JsonDocument, locationOf, readJson, showValue, valueAt } from './json.ts';
import { issueDiagnostics } from './json-issues.ts';
import {
  manifestName,
  manifestSchema,
  type PackageFile,
  type PackageManifest,
  propagateGraphName,
  stepGraphName,
} from './manifest.ts';
import { type NamedFile, resolveInside } from './resolve-inside.ts';

/** A package on disk whose rtc.json was read, and whose files are what it says. */
export interface Package {
  /** Absolute. */
  readonly folder: string;
  readonly manifest: PackageManifest;
}

export interface ReadPackageOptions {
  /**
   * `hashes` reads every file that rtc wrote and compares its SHA-256, and of linked weights the header's (the whole
   * file's where it is known); `sizes` opens none. Default: `hashes`.
   */
  readonly check?: 'hashes' | 'sizes';
  readonly signal?: AbortSignal;
}

/**
 * Reads a package and checks that it is whole. What is wrong comes back, all of it at once: no package, another format
 * or version, paths that leave the folder (as text or through links), files that are missing, cut off or altered.
 * @param folder as the user names it
 */
export async function readPackage(folder: string, options: ReadPackageOptions = {}): Promise<Result<Package>> {
  const manifestFile = join(folder, manifestName);
  const read = await readJson(manifestFile, manifestFile, { maxBytes: 64 * 2 ** 20, maxDepth: 64 });
  if (!read.ok) return failure(...(await explainMissing(folder, read.diagnostics)));
  const manifest = checkManifest(read.value);
  if (!manifest.ok) return manifest;
  const found = await checkFiles(folder, read.value, manifest.value, options);
  const modelFile = join(folder, manifest.value.source.model);
  const problems = hasErrors(found) ? found : await checkRecursion(read.value, manifest.value, modelFile);
  return hasErrors(problems)
    ? failure(...problems)
    : success({ folder: resolve(folder), manifest: manifest.value }, found);
}

/** Whether `folder` holds an rtc.json of the right format; of any version, and no matter what else is wrong with it. */
export async function isPackage(folder: string): Promise<boolean> {
  const read = await readJson(join(folder, manifestName), manifestName, { maxBytes: 64 * 2 ** 20, maxDepth: 64 });
  return read.ok && valueAt(read.value, ['format']) === 'rtc-package';
}

/** The graph that runs a package, relative to its folder, with its inputs and outputs. */
export function mainGraph(manifest: PackageManifest): { readonly file: string } & PackageManifest['graphs'][string] {
  const graphs = Object.entries(manifest.graphs);
  const entry =
    manifest.form === 'depth-batched' ? graphs.find(([file]) => posix.basename(file) === stepGraphName) : graphs[0];
  if (entry === undefined) throw new RangeError('a package without its graph');
  return { file: entry[0], ...entry[1] };
}

/** propagate.onnx, relative to the package; undefined for a package without. */
export function propagateGraph(manifest: PackageManifest): string | undefined {
  return Object.keys(manifest.graphs).find((file) => posix.basename(file) === propagateGraphName);
}

/** SHA-256 of a file's first `length` bytes, or of all of them. Rejects with the signal's reason when it aborts. */
export async function hashFile(path: string, length?: number, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  if (length === 0) return hash.digest('hex');
  const end = length === undefined ? {} : { end: length - 1 };
  for await (const chunk of createReadStream(path, { ...end, highWaterMark: 2 ** 20, ...(signal && { signal }) })) {
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

async function explainMissing(folder: string, diagnostics: readonly Diagnostic[]): Promise<readonly Diagnostic[]> {
  if (diagnostics[0]?.code !== 'missing-file') return diagnostics;
  const kind = await stat(folder).then(
    (found) => (found.isDirectory() ? 'folder' : 'file'),
    () => undefined,
  );
  const message = {
    folder: `"${folder}" is not an rtc package: there is no ${manifestName} in it.`,
    file: `"${folder}" is not an rtc package: it is a file, and a package is a folder.`,
  };
  return [
    {
      severity: 'error',
      code: 'not-a-package',
      location: { file: folder },
      message: kind === undefined ? `There is no folder "${folder}".` : message[kind],
      hint: 'Name a folder that "rtc compile" wrote.',
    },
  ];
}

function checkManifest(document: JsonDocument): Result<PackageManifest> {
  const format = valueAt(document, ['format']);
  if (format !== 'rtc-package') {
    return failure({
      severity: 'error',
      code: 'not-a-package',
      location: locationOf(document, ['format']),
      message: `The format is ${showValue(format)}; "rtc-package" was expected.`,
    });
  }
  const version = valueAt(document, ['version']);
  if (version !== 1) {
    return failure({
      severity: 'error',
      code: 'unsupported-version',
      location: locationOf(document, ['version']),
      message: `The package has version ${showValue(version)}; this rtc reads version 1.`,
      hint: 'Compile the model again, or use the rtc that wrote the package.',
    });
  }
  const parsed = manifestSchema.safeParse(document.value);
  if (!parsed.success) return failure(...issueDiagnostics(document, parsed.error.issues, manifestSchema));
  const manifest = parsed.data;
  const problems: Diagnostic[] = [];
  const requireFile = (path: string, at: readonly (string | number)[]) => {
    if (Object.hasOwn(manifest.files, path)) return;
    const message = `"${path}" is not among the files of the package.`;
    problems.push({ severity: 'error', code: 'invalid-manifest', location: locationOf(document, at), message });
  };
  const graphs = Object.keys(manifest.graphs);
  if (graphs.length === 0) {
    const location = locationOf(document, ['graphs']);
    problems.push({ severity: 'error', code: 'invalid-manifest', location, message: 'The package has no graph.' });
  }
  for (const graph of graphs) requireFile(graph, ['graphs', graph]);
  requireFile(manifest.source.model, ['source', 'model']);
  requireFile(manifest.source.config, ['source', 'config']);
  if (problems.length === 0) {
    for (const { path, message } of checkInterface(manifest)) {
      const hint = 'Compile the model again; rtc.json is not meant to be edited.';
      problems.push({
        severity: 'error',
        code: 'invalid-manifest',
        location: locationOf(document, path),
        message,
        hint,
      });
    }
  }
  return problems.length > 0 ? failure(...problems) : success(manifest);
}

async function checkFiles(
  folder: string,
  document: JsonDocument,
  manifest: PackageManifest,
  { check = 'hashes', signal }: ReadPackageOptions,
): Promise<readonly Diagnostic[]> {
  const problems: Diagnostic[] = [];
  const within = { absolutePath: resolve(folder), shown: folder, linksMayLeave: false };
  for (const [path, file] of Object.entries(manifest.files)) {
    signal?.throwIfAborted();
    const found = await resolveInside(within, '.', path, locationOf(document, ['files', path], 'key'));
    const problem = found.ok ? await checkFile(found.value, file, check, signal) : undefined;
    problems.push(...found.diagnostics, ...(problem ? [problem] : []));
  }
  return problems;
}

async function checkFile(
  { absolutePath, shown }: NamedFile,
  file: PackageFile,
  check: 'hashes' | 'sizes',
  signal: AbortSignal | undefined,
): Promise<Diagnostic | undefined> {
  const location = { file: shown };
  try {
    const found = await stat(absolutePath);
    if (!found.isFile()) {
      return { severity: 'error', code: 'not-a-file', location, message: `"${shown}" is not a file.` };
    }
    if (found.size !== file.size) {
      const message = `"${shown}" has ${found.size} bytes where the package was written with ${file.size}.`;
      return altered(location, found.size < file.size ? 'truncated-file' : 'altered-file', message, file);
    }
    if (check === 'sizes') return undefined;
    if (file.origin === 'checkpoint') {
      const header = await safetensorsHeaderLength(absolutePath, found.size);
      if (header === undefined || (await hashFile(absolutePath, header, signal)) !== file.headerSha256) {
        const message = `The header of "${shown}" is not the one that the package was written with.`;
        return altered(location, 'altered-file', message, file);
      }
    }
    if (file.sha256 !== undefined && (await hashFile(absolutePath, undefined, signal)) !== file.sha256) {
      const message = `"${shown}" is not the file that the package was written with: its SHA-256 differs.`;
      return altered(location, 'altered-file', message, file);
    }
  } catch (error) {
    signal?.throwIfAborted();
    return fileDiagnostic(error, location, 'read');
  }
  return undefined;
}

/** 8 + the length that a safetensors file starts with; undefined when the file has no room for it. */
async function safetensorsHeaderLength(path: string, size: number): Promise<number | undefined> {
  if (size < 8) return undefined;
  const handle = await open(path, 'r');
  try {
    const { buffer } = await handle.read(Buffer.alloc(8), 0, 8, 0);
    const length = buffer.readBigUInt64LE();
    return length > BigInt(size - 8) ? undefined : 8 + Number(length);
  } finally {
    await handle.close();
  }
}

function altered(location: Location, code: string, message: string, file: PackageFile): Diagnostic {
  const hint =
    file.origin === 'checkpoint'
      ? 'Linked weights are the checkpoint itself: whoever writes into it in place changes the package too. Compile again.'
      : 'Compile the model again.';
  return { severity: 'error', code, location, message, hint };
}
