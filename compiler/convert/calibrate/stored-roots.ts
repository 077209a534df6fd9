import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { MomentRoot } from '../../../convert/allot/moment-root.ts';
import { decodeFloats, encodeFloats } from '../../../convert/stored-floats.ts';
import { readSafetensors } from '../../../files/safetensors.ts';
import { layoutSafetensors } from '../../../files/write-safetensors.ts';

/** Roots of moments that wait on disk until their matrices are taken apart: together they are larger than a model. */
export interface StoredRoots {
  /** Undefined where there is none under this name, or it is damaged. */
  readonly read: (name: string) => Promise<MomentRoot | undefined>;
  readonly write: (name: string, root: MomentRoot) => Promise<void>;
}

/** In `folder`, which is made when it is needed. Writing throws what the file system does. */
export function storedRoots(folder: string): StoredRoots {
  const pathOf = (name: string) => join(folder, `${name}.safetensors`);
  return {
    read: (name) => readRoot(pathOf(name)),
    write: async (name, root) => {
      await mkdir(folder, { recursive: true });
      await writeRoot(pathOf(name), root);
    },
  };
}

/** Bytes that a root takes on disk. */
export function rootBytes(size: number, wide: boolean): number {
  return 4096 + 4 * (wide ? size : (size * (size + 1)) / 2);
}

async function writeRoot(file: string, root: MomentRoot): Promise<void> {
  const values = root.kind === 'triangle' ? root.lower : root.diagonal;
  const data = encodeFloats('f32', values);
  const { header } = layoutSafetensors([{ name: root.kind, dtype: 'f32', shape: [values.length] }], {
    size: String(root.size),
    sha256: hashOf(data),
  });
  const handle = await open(`${file}.part`, 'w');
  try {
    for (const piece of [header, data]) {
      for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.part`, file);
}

async function readRoot(file: string): Promise<MomentRoot | undefined> {
  const read = await readSafetensors(file, { path: file, shown: file });
  if (!read.ok) return undefined;
  const { tensors, metadata, dataStart } = read.value;
  const data = (await readFile(file)).subarray(dataStart);
  if (hashOf(data) !== metadata.sha256) return undefined;
  const size = Number(metadata.size);
  const values = decodeFloats('f32', data);
  if (tensors.has('triangle')) return { kind: 'triangle', size, lower: values };
  return tensors.has('diagonal') ? { kind: 'diagonal', size, diagonal: values } : undefined;
}

function hashOf(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
