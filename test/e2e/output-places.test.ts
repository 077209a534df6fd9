import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readPackage } from '../../files/package.ts';
import { models, rtc, type StartOptions } from '../cli/rtc.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { filesBelow } from './files-below.ts';
import { onDisk } from './on-disk.ts';
import { ordinaryUser } from './ordinary-user.ts';

let folder: string;
let model: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-places-'));
  // Other users may look in.
  chmodSync(folder, 0o755);
  model = join(folder, 'model');
  makeTinyModel(model, { ranks: [1, 2], exits: { after: [1] } });
});
afterEach(() => rmSync(folder, { recursive: true }));

const trace = /\n\s+at /;

async function expectRefused(code: string, args: readonly string[], options: StartOptions = {}): Promise<string> {
  const before = filesBelow(folder);
  const { exitCode, stdout, stderr } = await rtc(['compile', ...args], { cwd: folder, ...options });
  expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 1, stdout: '' });
  expect(stderr).toMatch(new RegExp(`^error ${code}( |$)`, 'm'));
  expect(stderr).not.toMatch(trace);
  expect(filesBelow(folder)).toEqual(before);
  return stderr;
}

describe('refused as a place', () => {
  test('a folder that is not a package', async () => {
    mkdirSync(join(folder, 'thesis'));
    writeFileSync(join(folder, 'thesis', 'chapter-1.tex'), 'years of work');
    const stderr = await expectRefused('output-exists', [model, '--out', 'thesis']);
    expect(stderr).toContain('"thesis" exists and is not an rtc package');
  });

  test('an empty folder', () => expectRefused('output-exists', [model, '--out', '.empty'], prepared('.empty')));

  test('the folder of the checkpoint, named in any way', async () => {
    symlinkSync('model', join(folder, 'alias'));
    for (const out of ['model', './model/', join(folder, 'model'), 'model/../model', 'alias']) {
      await expectRefused('output-holds-input', ['model/model.json', '--out', out]);
    }
  });

  test('a folder that holds the checkpoint', () => expectRefused('output-holds-input', [model, '--out', folder]));

  test('a package that the model is read from', async () => {
    expect((await rtc(['compile', model, '--out', join(folder, 'package')])).exitCode).toBe(0);
    await expectRefused('output-holds-input', ['package', '--form', 'loop', '--out', 'package']);
  });

  test('a file', async () => {
    writeFileSync(join(folder, 'notes.txt'), 'notes');
    await expectRefused('output-exists', [model, '--out', 'notes.txt']);
  });

  test('a path through a file', () => expectRefused('bad-path', [model, '--out', 'model/config.json/package']));

  test('a link that leads nowhere', async () => {
    symlinkSync('nowhere', join(folder, 'link'));
    await expectRefused('output-exists', [model, '--out', 'link']);
  });

  test('the root', () => expectRefused('output-holds-input', [model, '--out', '/']));

  test('the current folder', async () => {
    const here = join(folder, 'here');
    mkdirSync(here);
    await expectRefused('output-exists', [model, '--out', '.'], { cwd: here });
    await expectRefused('output-holds-input', ['.', '--out', '.'], { cwd: model });
    await expectRefused('output-holds-input', ['.', '--out', '..'], { cwd: model });
  });

  test('nothing, as an empty argument', () => expectRefused('bad-path', [model, '--out', '']));

  test('a name that no file system takes', () => expectRefused('bad-path', [model, '--out', 'x'.repeat(300)]));

  function prepared(name: string): StartOptions {
    mkdirSync(join(folder, name));
    return {};
  }
});

describe('refused as a model', () => {
  test.each(['nowhere', 'nowhere/model.json', 'model/nowhere.json', ''])('%j', async (path) => {
    await expectRefused('missing-file', [path, '--out', 'out']);
  });
});

describe('taken as a place', () => {
  test.each([
    ['spaces', 'my compiled  model'],
    ['quotes', `it's a "model"`],
    ['other scripts', 'モデル-übersetzt-🧠'],
    ['signs of a shell', '$(rm -rf .);&|*?'],
    ['a line feed', 'two\nlines'],
    ['a leading dash', './-out'],
    ['folders on the way', 'a/b/c'],
  ])('a path with %s', async (_, out) => {
    const { exitCode, stderr } = await rtc(['compile', 'model', `--out=${out}`], { cwd: folder });
    expect(exitCode, stderr).toBe(0);
    expect((await readPackage(join(folder, out))).diagnostics).toEqual([]);
    // And read from one.
    const named = join(folder, `${out} again`);
    cpSync(model, named, { recursive: true });
    const again = await rtc(['compile', named, '--quiet'], { cwd: folder });
    expect(again.exitCode, again.stderr).toBe(0);
  });

  test('a folder in that of the model', async () => {
    expect((await rtc(['compile', '.', '--out', 'compiled'], { cwd: model })).exitCode).toBe(0);
    expect((await readPackage(join(model, 'compiled'))).diagnostics).toEqual([]);
  });

  test('what was left of a package that was cut off before', async () => {
    mkdirSync(join(folder, '.rtc-0123456789ab'));
    writeFileSync(join(folder, '.rtc-0123456789ab', 'model.onnx'), 'half of it');
    expect((await rtc(['compile', model, '--out', join(folder, 'out')])).exitCode).toBe(0);
    expect((await readPackage(join(folder, 'out'))).diagnostics).toEqual([]);
  });
});

describe('a folder that may not be written to', () => {
  test('for a user', async ({ skip }) => {
    const user = await ordinaryUser();
    if (typeof user === 'string') return skip(user);
    const locked = join(folder, 'locked');
    mkdirSync(locked);
    chmodSync(locked, 0o555);
    await expectRefused('unwritable-file', [model, '--out', join(locked, 'out')], user);
    await expectRefused('unwritable-file', [model, '--out', join(locked, 'on', 'the', 'way')], user);
    chmodSync(locked, 0o755);
  });

  test('on a disk that is read only', async ({ skip }) => {
    const ended = await onDisk(folder, 'ro', [[model, '--out', 'out']]);
    if (typeof ended === 'string') return skip(ended);
    expect(ended.runs).toMatchObject([{ exitCode: 1 }]);
    expect(ended.runs[0]?.stderr).toContain('error unwritable-file ');
    expect(ended.left).toEqual([]);
  });
});

describe('a disk that gets full', () => {
  const kjv = join(models, 'kjv-relaxed');

  test.for([
    ['at the graph', 'size=16k', []],
    ['while weights are copied', 'size=1m', []],
    ['while weights are written', 'size=3m', ['--write-weights']],
  ] as const)('%s', async ([, options, more], { skip }) => {
    const ended = await onDisk(folder, options, [[kjv, '--out', 'deep/out', ...more]]);
    if (typeof ended === 'string') return skip(ended);
    expect(ended.runs).toMatchObject([{ exitCode: 1 }]);
    expect(ended.runs[0]?.stderr).toContain('error disk-full ');
    expect(ended.runs[0]?.stderr).not.toMatch(trace);
    expect(ended.left).toEqual([]);
  });

  test('at the last file', async ({ skip }) => {
    const whole = await rtc(['compile', kjv, '--json'], { cwd: folder });
    const pages = JSON.parse(whole.stdout).files.map(({ bytes }: { readonly bytes: number }) =>
      Math.ceil(bytes / 4096),
    );
    const enough = pages.reduce((a: number, b: number) => a + b);
    const [full, fits] = [
      await onDisk(folder, `size=${4 * (enough - 1)}k`, [[kjv, '--out', 'out']]),
      await onDisk(folder, `size=${4 * enough}k`, [[kjv, '--out', 'out']]),
    ];
    if (typeof full === 'string' || typeof fits === 'string') return skip(`${full}`);
    expect(fits.runs).toMatchObject([{ exitCode: 0 }]);
    expect(full.runs).toMatchObject([{ exitCode: 1 }]);
    expect(full.runs[0]?.stderr).toContain('error disk-full ');
    expect(full.left).toEqual([]);
  });

  test('keeps the package that was to be replaced', async ({ skip }) => {
    const ended = await onDisk(folder, 'size=1m', [
      [model, '--out', 'out'],
      [kjv, '--out', 'out'],
      [model, '--out', 'out'],
    ]);
    if (typeof ended === 'string') return skip(ended);
    expect(ended.runs.map(({ exitCode }) => exitCode)).toEqual([0, 1, 0]);
    expect(ended.runs[1]?.stderr).toContain('error disk-full ');
    expect(ended.left).toEqual(['out']);
  });
});
