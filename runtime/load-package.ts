import { join } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import type { PackageManifest } from '../files/manifest.ts';
import { mainGraph, type Package, readPackage } from '../files/package.ts';
import { readEndTokens } from './end-tokens.ts';
import { type Engine, type EngineOptions, startEngine } from './engine.ts';
import { type GraphSession, openSession, type SessionOptions } from './session.ts';
import { loadTokenizer, type TextTokenizer } from './tokenizer.ts';

/** A package ready to generate. Close it to free the weights. */
export type LoadedPackage = LoadedGraph | LoadedEngine;

interface Loaded {
  /** Absolute. */
  readonly folder: string;
  readonly manifest: PackageManifest;
  /** Undefined when the package has no tokenizer.json: then prompts are token ids. */
  readonly tokenizer: TextTokenizer | undefined;
  /** Tokens that end a sequence: those of generation_config.json, else of config.json; none when neither names any. */
  readonly endTokens: readonly number[];
  readonly close: () => Promise<void>;
}

/** Of the forms `unrolled` and `loop`: the graph is in ONNX Runtime. */
export interface LoadedGraph extends Loaded {
  readonly session: GraphSession;
  readonly engine?: undefined;
}

/** Of the form `depth-batched`: an engine runs it. */
export interface LoadedEngine extends Loaded {
  readonly engine: Engine;
  readonly session?: undefined;
}

/** `optimization` is for graphs, everything but `threads` for engines. */
export interface LoadOptions extends SessionOptions, EngineOptions {}

/**
 * Reads a package that `rtc compile` wrote and loads it into ONNX Runtime: its graph, or for the form `depth-batched` an
 * engine. Files are checked to be there with their sizes; `rtc verify` is what reads them all.
 * @param folder as the user names it
 */
export async function loadPackage(folder: string, options: LoadOptions = {}): Promise<Result<LoadedPackage>> {
  const read = await readPackage(folder, { check: 'sizes' });
  if (!read.ok) return read;
  return read.value.manifest.form === 'depth-batched'
    ? loadEngine(read.value, options)
    : loadGraph(read.value, options);
}

async function loadEngine({ folder, manifest }: Package, options: LoadOptions): Promise<Result<LoadedEngine>> {
  const started = await startEngine({ folder, manifest }, options);
  if (!started.ok) return started;
  const engine = started.value;
  const { tokenizer, close } = engine;
  return success({ folder, manifest, engine, tokenizer, close, endTokens: await readEndTokens(folder, manifest) });
}

async function loadGraph({ folder, manifest }: Package, options: LoadOptions): Promise<Result<LoadedGraph>> {
  const unknown = engineOnly(manifest, options);
  if (unknown.length > 0) return failure(...unknown);
  const tokenizer = await loadTokenizer(folder);
  if (!tokenizer.ok) return tokenizer;
  const session = await openSession(join(folder, mainGraph(manifest).file), options);
  if (!session.ok) return session;
  return success({
    folder,
    manifest,
    session: session.value,
    tokenizer: tokenizer.value,
    endTokens: await readEndTokens(folder, manifest),
    close: session.value.close,
  });
}

/** Options that ask for what only an engine does. */
function engineOnly({ form }: PackageManifest, options: LoadOptions): readonly Diagnostic[] {
  const { threads: _, optimization: __, kvPolicy = 'last-exited', ...others } = options;
  const names = Object.entries({ ...others, ...(kvPolicy === 'last-exited' ? {} : { kvPolicy }) })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (names.length === 0) return [];
  return [
    {
      severity: 'error',
      code: 'needs-depth-batched',
      message: `The form "${form}" runs without pages and steps of its own, so it has no ${names.join(', ')}.`,
      hint: 'Compile the model with --form depth-batched.',
    },
  ];
}
