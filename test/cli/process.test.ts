import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { importFirst, models, program, replaceModule, rtc } from './rtc.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-process-'));
});
afterAll(() => rm(scratch, { recursive: true }));

describe('a bug in rtc', () => {
  const broken = `export async function inspect() { throw Object.assign(new Error('three is not four'), EXTRA); }`;
  const env = (extra: object) => replaceModule('inspect/inspect.js', broken.replace('EXTRA', JSON.stringify(extra)));

  test('is owned up to on one page, without a stack, and is no fault of the input', async () => {
    const { exitCode, stdout, stderr } = await rtc(['inspect', models], { env: env({}) });
    expect({ exitCode, stdout }).toEqual({ exitCode: 70, stdout: '' });
    expect(stderr).toContain('three is not four');
    expect(stderr).toContain('This is a bug in rtc, not in what you gave it.');
    expect(stderr).toContain(`rtc inspect ${models}`);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('shows where with RTC_DEBUG', async () => {
    const { stderr } = await rtc(['inspect', models], { env: { ...env({}), RTC_DEBUG: '1' } });
    expect(stderr).toMatch(/^\s+at /m);
  });

  test('leaves its reproducer behind and names it', async () => {
    const { stderr } = await rtc(['inspect', models], { env: env({ reproducer: 'graph() {}' }), cwd: scratch });
    const [, name] = /A small file shows the same: (\S+)/.exec(stderr) ?? [];
    expect(await readFile(join(scratch, name!), 'utf8')).toBe('graph() {}');
  });

  test('with --json says so on stdout', async () => {
    const { stdout } = await rtc(['inspect', models, '--json'], { env: env({}) });
    expect(JSON.parse(stdout)).toMatchObject({ version: 1, ok: false, diagnostics: [{ code: 'internal-error' }] });
  });
});

describe('the starter', () => {
  test('a Node that is too old is told which one is needed', async () => {
    const old = importFirst(`Object.defineProperty(process.versions, 'node', { value: '20.19.0' })`);
    const { exitCode, stderr } = await rtc(['--version'], { env: old });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('rtc needs Node 20.20 or newer; this is Node 20.19.0.');
  });

  test('without dist and without a compiler it says what to run', async () => {
    await cp(dirname(program), join(scratch, 'bin'), { recursive: true });
    await cp(join(dirname(program), '..', 'package.json'), join(scratch, 'package.json'));
    const started = await execa(process.execPath, [join(scratch, 'bin', 'rtc.js')], { reject: false });
    expect(started.exitCode).toBe(1);
    expect(started.stderr).toContain('npm ci');
  });
});

describe('output that goes nowhere', () => {
  test('a reader that goes away ends the command without a word', async () => {
    const line = `"${process.execPath}" "${program}" inspect "${join(models, 'kjv-relaxed')}" --json; echo "code $?" >&2`;
    const { stdout, stderr } = await execa(`( ${line} ) | head -c 10`, { shell: '/bin/bash' });
    expect(stdout).toBe('{"version"');
    expect(stderr).toBe('code 0');
  });

  test.skipIf(process.platform !== 'linux')('a full disk is a problem, not a stack', async () => {
    const line = `"${process.execPath}" "${program}" inspect "${join(models, 'kjv-relaxed')}" > /dev/full`;
    const { exitCode, stderr } = await execa(line, { shell: '/bin/bash', reject: false });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('its output cannot be written: ENOSPC');
  });
});
