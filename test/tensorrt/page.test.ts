import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { acceptCommandLine, rtcCommandLines } from './documented-commands.ts';

const page = readFileSync(fileURLToPath(new URL('../../docs/tensorrt.md', import.meta.url)), 'utf8');
const lines = [
  ...rtcCommandLines(page),
  // In the middle of a sentence.
  ...[...page.matchAll(/`rtc ([a-z]+ [^`]*(?:model\.json|package)[^`]*)`/g)].map(([, line]) => line!),
];

test.each(lines)('rtc takes what docs/tensorrt.md shows: rtc %s', async (line) => {
  await acceptCommandLine(line.replace('HASH', '0'.repeat(64)));
});

test('the page has the command lines that it is about', () => {
  for (const part of [
    '--no-build',
    '--engine',
    '--engine-times',
    '--cache-dir',
    '--explain',
    '--timing-cache-sha256',
  ]) {
    expect(lines.some((line) => line.includes(part))).toBe(true);
  }
});

test('flags that the page names are flags that there are', async () => {
  const { createProgram } = await import('../../compiler/cli/program.ts');
  const host = {
    stdout: { write: () => {} },
    stderr: { write: () => {} },
    env: {},
    signal: new AbortController().signal,
    interruption: () => undefined,
    flush: async () => {},
  };
  const program = createProgram('0.0.0', host, async () => {});
  const commands = program.commands.flatMap((command) => [command, ...command.commands]);
  const known = new Set(commands.flatMap(({ options }) => options.map(({ long }) => long)));
  // Of build.sh, and of trtexec.
  const others = new Set(['--force', '--maxAuxStreams', '--builderOptimizationLevel']);
  for (const [flag] of page.matchAll(/--[A-Za-z][A-Za-z0-9-]*/g)) {
    if (!others.has(flag)) expect(known).toContain(flag);
  }
});
