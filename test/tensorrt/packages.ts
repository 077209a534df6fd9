import { chmodSync, cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions, CompileResult } from '../../compiler/compile-options.ts';
import { type Package, readPackage } from '../../files/package.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';

/** Nothing of the machine's own: no trtexec, and no GPU. */
export const emptyEnv = { PATH: '/nowhere' } as const;

/** A model of two loops and one exit, small enough to be compiled in no time. */
export function tinyModelFolder(scratch: string, options: Partial<TinyModelOptions> = {}): string {
  const folder = join(scratch, 'model');
  makeTinyModel(folder, { block: 1, exits: { after: [1] }, maxPositions: 256, ...options });
  return folder;
}

/** Compiles for TensorRT; only expects that it goes well. */
export async function compiled(options: CompileOptions): Promise<CompileResult> {
  const result = await compile({ target: 'tensorrt', env: emptyEnv, ...options });
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
  return result.value;
}

/** A copy of a package in which nothing is shared. */
export function copyOf(folder: string, to: string): string {
  cpSync(folder, to, { recursive: true });
  return to;
}

/** A package as a reader has it, files checked by their hashes. */
export async function opened(folder: string): Promise<Package> {
  const read = await readPackage(folder);
  if (!read.ok) expect.fail(JSON.stringify(read.diagnostics));
  return read.value;
}

/** Every file, and what is in it. */
export function contents(folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((name) => [name, readFileSync(join(folder, name), 'latin1')]),
  );
}

/** Writes something that a shell runs. */
export function writeProgram(path: string, lines: string): string {
  writeFileSync(path, `#!/bin/sh\n${lines}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Command lines that the stand-in was called with, in order. */
export function callsIn(file: string): readonly (readonly string[])[] {
  return readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as readonly string[]);
}

/** Numbers of processes that the stand-in wrote down, of those that still run. */
export function runningOf(file: string): readonly number[] {
  return readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map(Number)
    .filter((pid) => {
      try {
        // One that has ended is listed until somebody asks how, which in a container nobody may.
        return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
      } catch {
        return false;
      }
    });
}
