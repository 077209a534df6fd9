import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Result } from '../../../files/diagnostics.ts';
import { byteLength, type DType } from '../../../ir/dtype.ts';
import { countOf } from '../../../ir/interpret/tensor.ts';
import { encodeTensor } from '../../../ir/tensor-bytes.ts';

/** One call of trtexec that runs an engine, all its files in a folder of its own. */
export interface EngineRun {
  /** Where trtexec runs; the files below are in it. */
  readonly folder: string;
  /** Of the engine, absolute. */
  readonly plan: string;
  readonly profile: number;
  /** Of every input. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** File of every input: little-endian numbers in C order. */
  readonly loadInputs: Readonly<Record<string, string>>;
  /** Where outputs go. */
  readonly exportOutput?: string;
  /** Where the times of all iterations go. */
  readonly exportTimes?: string;
  readonly iterations: number;
  /** Milliseconds. */
  readonly warmUp: number;
  /** Seconds at least; 0 ends after `iterations`. */
  readonly duration: number;
}

/** Whoever runs an engine: trtexec, or in tests somebody else. */
export type RunEngine = (run: EngineRun) => Promise<Result<unknown>>;

/** An input: its numbers, or undefined for zeros, which take no memory here however many they are. */
export interface EngineInput {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data?: Float64Array | undefined;
}

/**
 * Writes the inputs of an engine into a folder, which is made for them, has it run there, and takes the folder away when
 * `read` has read what came of it. After a call that failed the folder stays, with the inputs and the log.
 * @param base the folder is made in it
 */
export async function callEngine<T>(
  run: RunEngine,
  base: string,
  call: Omit<EngineRun, 'folder' | 'shapes' | 'loadInputs'> & { readonly inputs: ReadonlyMap<string, EngineInput> },
  read: (folder: string) => Promise<Result<T>>,
): Promise<Result<T>> {
  const folder = join(base, 'call');
  const { inputs, ...rest } = call;
  await mkdir(folder, { recursive: true });
  const shapes: Record<string, readonly number[]> = {};
  const loadInputs: Record<string, string> = {};
  for (const [i, [name, input]] of [...inputs].entries()) {
    // By number: whatever a tensor is called, its file has a plain name.
    const file = `input-${i}.bin`;
    shapes[name] = input.shape;
    loadInputs[name] = file;
    await writeInput(join(folder, file), input);
  }
  const ran = await run({ ...rest, folder, shapes, loadInputs });
  const result = ran.ok ? await read(folder) : ran;
  if (result.ok) await rm(folder, { recursive: true, force: true });
  return result;
}

async function writeInput(path: string, { dtype, shape, data }: EngineInput): Promise<void> {
  if (data !== undefined) return writeFile(path, encodeTensor(dtype, data));
  await writeFile(path, '');
  // A hole: gigabytes of pages that are all zero need no place on disk either.
  await truncate(path, byteLength(dtype, countOf(shape)));
}
