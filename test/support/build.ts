import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const sources = ['ir', 'files', 'passes', 'targets', 'runtime', 'measure', 'simulate', 'serve', 'compiler'];
// Tests start it as a process of its own, too.
const folders = [...sources, 'test/support/stand-in-trtexec', 'test/support/trtexec-command-line.ts'];

/** Once for all tests: builds dist, which tests start as a process, when a source is newer than it. */
export function setup(): void {
  if (
    newest(
      folders.map((folder) => join(root, folder)),
      '.ts',
    ) <= newest([join(root, 'dist')], '.tsbuildinfo')
  )
    return;
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  execFileSync(process.execPath, [compiler, '-b'], { cwd: root, stdio: 'inherit' });
}

/** When the last file with this ending in these folders, or among them, was written; 0 without any. */
function newest(paths: readonly string[], ending: string): number {
  let latest = 0;
  for (const path of paths) {
    for (const name of entries(path)) {
      const file = join(path, name);
      if (file.endsWith(ending)) latest = Math.max(latest, statSync(file).mtimeMs);
    }
  }
  return latest;
}

function entries(path: string): readonly string[] {
  try {
    return statSync(path).isFile() ? [''] : readdirSync(path, { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
}
