import { createHash } from 'node:crypto';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { formatManifest, manifestName, type PackageFile, type PackageManifest } from '../../files/manifest.ts';
import { hashFile } from '../../files/package.ts';
import type { Progress } from '../compile-options.ts';
import type { SourceModel } from '../read/source-model.ts';
import { describeInterface, describePackage, type PackageFacts } from './describe-package.ts';
import { copy, linkOrCopy } from './link-or-copy.ts';
import { type PackageEntry, type PackageParts, type PackagePlan, planPackage } from './package-files.ts';
import { placeFolder } from './place-folder.ts';
import { flush, generatedSize, writeGenerated } from './write-generated.ts';

export interface WritePackageOptions extends PackageParts {
  readonly facts: PackageFacts;
  /** The folder to make, as the user names it. */
  readonly out: string;
  /** Copies the checkpoint's files even where they could be linked. */
  readonly copyWeights?: boolean | undefined;
  /** Hashes linked weights as a whole, not only their headers. */
  readonly checksum?: boolean | undefined;
  /** Files that lie in the package and not in rtc.json, because they change: a path in it, and what to copy. */
  readonly unlisted?: readonly { readonly path: string; readonly from: string }[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** A package that was written. */
export interface WrittenPackage {
  /** Absolute. */
  readonly folder: string;
  readonly manifest: PackageManifest;
  /** Every file of the package, rtc.json included, by path. */
  readonly sizes: ReadonlyMap<string, number>;
}

/**
 * Writes a package, whole or not at all. Weights of the checkpoint are linked where the file system allows, else
 * copied; what no file has is computed in pieces. Fails, leaving everything as it was, when the place is taken by
 * something else than a package, when a file cannot be read or written, and with `interrupted` when the signal aborts.
 */
export async function writePackage(options: WritePackageOptions): Promise<Result<WrittenPackage>> {
  const { model, out, signal, layout, facts } = options;
  if (layout === 'huggingface' && facts.form !== 'unrolled') {
    const message = `Other software knows only models without loops, so the layout "huggingface" goes with the form "unrolled", not "${facts.form}".`;
    return failure({ severity: 'error', code: 'unsupported-layout', message, hint: 'Add --form unrolled.' });
  }
  const plan = await planPackage(options);
  if (!plan.ok) return plan;
  return placeFolder({ out, inputs: inputsOf(model), signal }, (staged) => fill(staged, plan.value, options));
}

/** Absolute paths of everything that a model is read from. */
export function inputsOf(model: SourceModel): readonly string[] {
  const named = [model.modelJson, model.configPath, ...model.companions].filter((path) => path !== undefined);
  return [model.folder, ...named.map((path) => join(model.folder, path)), ...model.files.map((f) => f.absolutePath)];
}

async function fill(staged: string, plan: PackagePlan, options: WritePackageOptions): Promise<Result<WrittenPackage>> {
  const { model, facts, layout, out } = options;
  const context = { ...options, staged, progress: byteCounter(options) };
  const files: Record<string, PackageFile> = {};
  for (const entry of plan.entries) {
    options.signal?.throwIfAborted();
    const path = join(staged, entry.path);
    await mkdir(dirname(path), { recursive: true });
    const written = await put(entry, path, context);
    if (!written.ok) return written;
    files[entry.path] = written.value;
  }
  for (const { path, from } of options.unlisted ?? []) {
    const copied = await copy({ from, to: join(staged, path), shown: join(out, path), signal: options.signal });
    if (!copied.ok) return copied;
  }
  const manifest: PackageManifest = {
    ...describePackage(model, facts),
    layout,
    graphs: Object.fromEntries(plan.graphs.map((path, i) => [path, describeInterface(facts.graphs[i]!)])),
    files,
    source: plan.source,
  };
  const text = Buffer.from(formatManifest(manifest));
  await writeBytes(join(staged, manifestName), text, 0o666);
  for (const folder of new Set(plan.entries.map(({ path }) => dirname(path)))) await flush(join(staged, folder));
  const sizes = new Map(Object.entries(files).map(([path, { size }]) => [path, size]));
  sizes.set(manifestName, text.length);
  return success({ folder: resolve(out), manifest, sizes: new Map([...sizes].sort(([a], [b]) => (a < b ? -1 : 1))) });
}

type PutContext = Pick<WritePackageOptions, 'model' | 'out' | 'copyWeights' | 'checksum' | 'signal' | 'onProgress'> & {
  readonly progress: (step: string, total: number) => (bytes: number) => void;
};

/** Makes one file of the package at `path`, and says what rtc.json has to say of it. */
async function put(entry: PackageEntry, path: string, context: PutContext): Promise<Result<PackageFile>> {
  const { model, out, signal, progress } = context;
  const shown = join(out, entry.path);
  switch (entry.kind) {
    case 'bytes':
      try {
        await writeBytes(path, entry.bytes, entry.executable ? 0o777 : 0o666);
      } catch (error) {
        return failure(fileDiagnostic(error, { file: shown }, 'write'));
      }
      return success({ origin: 'written', size: entry.bytes.length, sha256: sha256(entry.bytes) });
    case 'copy': {
      const copied = await copy({ from: entry.from, to: path, shown, signal });
      return copied.ok ? success({ origin: 'written', ...copied.value }) : copied;
    }
    case 'generate': {
      const onBytes = progress('write weights', generatedSize(entry.tensors));
      const pathOf = (file: string) => join(model.folder, file);
      const written = await writeGenerated(entry.tensors, { absolutePath: path, shown, pathOf, signal, onBytes });
      return written.ok ? success({ origin: 'written', ...written.value }) : written;
    }
    case 'link': {
      const { file } = entry;
      const onBytes = progress('copy weights', file.size);
      const place = context.copyWeights ? copy : linkOrCopy;
      const placed = await place({ from: file.absolutePath, to: path, shown, signal, onBytes });
      if (!placed.ok) return placed;
      const { size } = await stat(path);
      if (size !== file.size) {
        const message = `"${file.absolutePath}" changed from ${file.size} to ${size} bytes while it was compiled.`;
        const location = { file: file.absolutePath };
        return failure({ severity: 'error', code: 'altered-file', location, message, hint: 'Compile again.' });
      }
      const described = { origin: 'checkpoint' as const, size, headerSha256: file.headerHash };
      if (!context.checksum) return success(described);
      return success({ ...described, sha256: await hashFile(path, undefined, signal) });
    }
  }
}

async function writeBytes(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Reports bytes of a step as they come. */
function byteCounter({ onProgress }: WritePackageOptions): PutContext['progress'] {
  return (step, total) => {
    let done = 0;
    return (bytes) => {
      done += bytes;
      onProgress?.({ step, done, total, unit: 'bytes' });
    };
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
