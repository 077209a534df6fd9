#!/usr/bin/env node
// Plain JavaScript, so that a Node that is too old for the rest can still say so.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 20)) {
  console.error(`rtc needs Node 20.20 or newer; this is Node ${process.versions.node}.`);
  process.exit(1);
}

const root = fileURLToPath(new URL('..', import.meta.url));
const entry = new URL('../dist/compiler/cli/main.js', import.meta.url);
if (!existsSync(entry)) await build();
const { main } = await import(entry.href);
await main();

/** A checkout that was installed without its scripts has no dist yet. */
async function build() {
  const { spawnSync } = await import('node:child_process');
  let compiler;
  try {
    compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
  } catch {
    console.error(`rtc is not built, and its compiler is not installed. In ${root} run: npm ci`);
    process.exit(1);
  }
  console.error('rtc is not built yet: building it once …');
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-b'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) {
    console.error(`${stdout}rtc could not be built. In ${root} run: npm ci && npm run build`);
    process.exit(1);
  }
}
