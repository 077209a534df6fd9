import { lstat, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import type { NamedFolder } from '../../files/resolve-inside.ts';

/** What the user named: a model.json, or an ordinary Hugging Face folder. */
export type ModelPlace =
  | { readonly kind: 'model-json'; readonly folder: NamedFolder; readonly file: string }
  | { readonly kind: 'hugging-face'; readonly folder: NamedFolder; readonly weights: string };

/** Finds out which of the three a MODEL is: a model.json, a folder with one, or a Hugging Face folder. */
export async function locateModel(path: string): Promise<Result<ModelPlace>> {
  try {
    return (await stat(path)).isDirectory() ? await lookInto(path) : locateFile(path);
  } catch (error) {
    return failure(fileDiagnostic(error, { file: path }, 'read'));
  }
}

function locateFile(path: string): Result<ModelPlace> {
  if (!path.endsWith('.json')) {
    const message = `"${path}" is not a model; a model.json, a folder with one, or a Hugging Face folder was expected.`;
    return failure({ severity: 'error', code: 'not-a-model', location: { file: path }, message });
  }
  const folder = { absolutePath: dirname(resolve(path)), shown: dirname(path), linksMayLeave: false };
  return success({ kind: 'model-json', folder, file: basename(path) });
}

async function lookInto(path: string): Promise<Result<ModelPlace>> {
  const absolutePath = resolve(path);
  const has = (name: string) => exists(join(absolutePath, name));
  if (await has('model.json')) {
    const folder = { absolutePath, shown: path, linksMayLeave: false };
    return success({ kind: 'model-json', folder, file: 'model.json' });
  }
  if (!(await has('config.json'))) {
    const message = `The folder "${path}" has neither a model.json nor a config.json.`;
    return failure({ severity: 'error', code: 'not-a-model', location: { file: path }, message });
  }
  const folder = { absolutePath, shown: path, linksMayLeave: true };
  for (const weights of ['model.safetensors', 'model.safetensors.index.json']) {
    if (await has(weights)) return success({ kind: 'hugging-face', folder, weights });
  }
  const message = `The folder "${path}" has neither a model.safetensors nor a model.safetensors.index.json.`;
  const pickled = (await has('pytorch_model.bin')) || (await has('pytorch_model.bin.index.json'));
  const hint = 'Its weights are pickled; save them again with safe_serialization=True.';
  const problem = { severity: 'error', code: 'missing-file', location: { file: path }, message } as const;
  return failure(pickled ? { ...problem, hint } : problem);
}

/** The folder's name with what a package's name may not have replaced; of a Hugging Face cache, the repository's. */
export function nameOfFolder(absolutePath: string): string {
  const cached = /models--[^/\\]+?--([^/\\]+)[/\\]snapshots[/\\][^/\\]+$/.exec(absolutePath)?.[1];
  const name = (cached ?? basename(absolutePath)).replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, 128);
  return /^[.-]*$/.test(name) ? 'model' : name;
}

/** False when there is nothing; what keeps us from looking is thrown. A link to nothing is something to tell later. */
async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}
