import { lstat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { checkPlace } from '../package/place-folder.ts';

/**
 * Why no checkpoint may be written at `out`; undefined when one may. Unlike a package, which can always be compiled
 * again, a checkpoint may have been trained since it was written, so nothing is replaced.
 */
export async function checkOutput(out: string, inputs: readonly string[]): Promise<Diagnostic | undefined> {
  const refused = await checkPlace(out, inputs);
  const there = await lstat(resolve(out)).catch(() => undefined);
  if (there === undefined || out === '' || refused?.code === 'output-holds-input') return refused;
  return {
    severity: 'error',
    code: 'output-exists',
    location: { file: out },
    message: `"${out}" exists.`,
    hint: 'A checkpoint may have been trained, so none is replaced. Choose another folder with --out, or remove this one.',
  };
}
