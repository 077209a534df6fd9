import { readdir, readFile } from 'node:fs/promises';

/** A file of the driver. */
export interface DriverFile {
  /** Relative to the folder of the model's version, with forward slashes. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Where the driver's Python lies: beside this file's source; tsc does not take it along to dist. */
export function driverFolder(): URL {
  const fromSource = import.meta.url.endsWith('.ts');
  return new URL(fromSource ? './driver/' : '../../../targets/triton/driver/', import.meta.url);
}

/** model.py and what it imports, sorted by path. */
export async function readDriver(): Promise<readonly DriverFile[]> {
  const folder = driverFolder();
  const inside = (await readdir(new URL('rtc_driver/', folder))).map((name) => `rtc_driver/${name}`);
  const paths = ['model.py', ...inside.filter((path) => path.endsWith('.py'))].sort();
  return Promise.all(paths.map(async (path) => ({ path, bytes: await readFile(new URL(path, folder)) })));
}
