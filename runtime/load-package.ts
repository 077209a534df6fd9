import { join } from 'node:path';
import { failure, type Result, success } from '../files/diagnostics.ts';
import type { PackageManifest } from '../files/manifest.ts';
import { mainGraph, readPackage } from '../files/package.ts';
import { readEndTokens } from './end-tokens.ts';
import { type GraphSession, openSession, type SessionOptions } from './session.ts';
import { loadTokenizer, type TextTokenizer } from './tokenizer.ts';

/** A package with its graph in ONNX Runtime, ready to generate. Close it to free the weights. */
export interface LoadedPackage {
  /** Absolute. */
  readonly folder: string;
  readonly manifest: PackageManifest;
  readonly session: GraphSession;
  /** Undefined when the package has no tokenizer.json: then prompts are token ids. */
  readonly tokenizer: TextTokenizer | undefined;
  /** Tokens that end a sequence: those of generation_config.json, else of config.json; none when neither names any. */
  readonly endTokens: readonly number[];
  readonly close: () => Promise<void>;
}

/**
 * Reads a package that `rtc compile` wrote and loads its graph into ONNX Runtime.
 * Files are checked to be there with their sizes; `rtc verify` is what reads them all.
 * @param folder as the user names it
 */
export async function loadPackage(folder: string, options: SessionOptions = {}): Promise<Result<LoadedPackage>> {
  const read = await readPackage(folder, { check: 'sizes' });
  if (!read.ok) return read;
  const { manifest } = read.value;
  if (manifest.form === 'depth-batched') {
    return failure({
      severity: 'error',
      code: 'unsupported-form',
      location: { file: folder },
      message: `This is a package of the form "${manifest.form}"; this version runs "unrolled" and "loop".`,
    });
  }
  const tokenizer = await loadTokenizer(folder);
  if (!tokenizer.ok) return tokenizer;
  const session = await openSession(join(read.value.folder, mainGraph(manifest).file), options);
  if (!session.ok) return session;
  return success({
    folder: read.value.folder,
    manifest,
    session: session.value,
    tokenizer: tokenizer.value,
    endTokens: await readEndTokens(read.value.folder, manifest),
    close: session.value.close,
  });
}
