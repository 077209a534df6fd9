import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { strictCheck } from './strict-check.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md'];

const read = (page: string): string => readFileSync(join(root, page), 'utf8');

/** What stands in a page's code blocks of one language. */
function blocks(text: string, language: string): readonly string[] {
  return Array.from(text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm))
    .filter(([, of]) => of === language)
    .map(([, , code]) => code!);
}

/** A page's part under `heading`. */
function section(text: string, heading: string): string {
  const part = text.split(/^(?=## )/m).find((some) => some.startsWith(`## ${heading}\n`));
  return part ?? expect.fail(`there is no "## ${heading}"`);
}

test('the programs of README type-check under strict', async () => {
  const programs = blocks(section(read('README.md'), 'Library'), 'ts');
  expect(programs.length).toBeGreaterThan(0);
  const folder = await mkdtemp(join(tmpdir(), 'rtc-readme-'));
  try {
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await mkdir(join(folder, 'node_modules/@types'), { recursive: true });
    await symlink(root, join(folder, 'node_modules/rtc'));
    await symlink(join(root, 'node_modules/@types/node'), join(folder, 'node_modules/@types/node'));
    await Promise.all(programs.map((code, i) => writeFile(join(folder, `${i}.ts`), code)));
    const names = programs.map((_, i) => `${i}.ts`);
    expect(await strictCheck(folder, names)).toBe('');
    // What is checked are rtc's own types: a wrong option is found.
    await writeFile(join(folder, 'wrong.ts'), programs[0]!.replace("form: 'depth-batched'", "form: 'spiral'"));
    expect(await strictCheck(folder, ['wrong.ts'])).toContain('"spiral"');
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the commands of the quick start are what package.json has', () => {
  const { scripts, bin } = JSON.parse(read('package.json')) as Record<'scripts' | 'bin', Record<string, string>>;
  const commands = blocks(section(read('README.md'), 'Quick start'), 'sh').flatMap((code) =>
    code.trim().split(/\n| && /),
  );
  expect(commands).toContain('npm ci');
  expect(commands).toContain('npm test');
  for (const command of commands) {
    const [, script] = /^npm (?:run )?(\S+)$/.exec(command) ?? expect.fail(`"${command}" is no command of npm`);
    if (script === 'ci') expect(existsSync(join(root, 'package-lock.json'))).toBe(true);
    else expect(Object.keys(scripts), command).toContain(script);
  }
  for (const file of Object.values(bin)) expect(existsSync(join(root, file)), file).toBe(true);
  expect(existsSync(join(root, scripts.demo!.replace('node ', ''))), scripts.demo).toBe(true);
});

test.each(pages)('%s: the files that it names and links to are there', (page) => {
  const folders = 'bench|bin|compiler|docs|examples|files|ir|measure|passes|runtime|schema|serve|simulate|targets|test';
  const named = read(page).matchAll(new RegExp(`\`((?:${folders})/[\\w./-]*\\.\\w+)\``, 'g'));
  for (const [, path] of named) {
    // What CONTRIBUTING.md adds to show how.
    if (!path!.includes('softcap')) expect(existsSync(join(root, path!)), path).toBe(true);
  }
  const links = Array.from(read(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g), ([, target]) => target!);
  for (const target of links) {
    if (!/^https?:/.test(target)) expect(existsSync(join(root, target)), target).toBe(true);
  }
});
