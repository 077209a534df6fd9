import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The compiled stand-in; `npx tsc -b` makes it. From dist/test as well as from test, the root is three folders up. */
const root = fileURLToPath(new URL('../../../', import.meta.url)).replace(/\/dist\/$/, '/');
const program = join(root, 'dist/test/support/stand-in-trtexec/main.js');

/** Writes an executable `trtexec` into `folder`, which needs nothing of the environment, and returns its path. */
export function installStandIn(folder: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'trtexec');
  const quoted = [process.execPath, program].map((part) => `'${part.replaceAll("'", `'\\''`)}'`);
  writeFileSync(path, `#!/bin/sh\n# A stand-in for tests, not NVIDIA's trtexec.\nexec ${quoted.join(' ')} "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}
