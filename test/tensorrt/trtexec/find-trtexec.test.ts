import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exitCodeOf } from '../../../compiler/cli/exit-code.ts';
import { findTrtexec } from '../../../targets/tensorrt/trtexec/find-trtexec.ts';
import { formatVersion } from '../../../targets/tensorrt/versions.ts';
import { installStandIn } from '../../support/stand-in-trtexec/install.ts';
import { type StandInSettings, standInEnv } from '../../support/stand-in-trtexec/settings.ts';
import { waitUntilGone } from './wait-until-gone.ts';

let scratch: string;
/** Five folders with a stand-in each. */
let installed: readonly string[];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "rtc find's-"));
  installed = ['named', 'variable', 'path', 'home', 'usual'].map((name) => installStandIn(join(scratch, name, 'bin')));
});
afterAll(() => rm(scratch, { recursive: true }));

const nowhere = { usualPlaces: [] };

async function find(path: string | undefined, settings: StandInSettings, env: NodeJS.ProcessEnv = {}) {
  return findTrtexec({ path, env: { ...env, ...standInEnv(settings) }, ...nowhere, timeoutMs: 20_000 });
}

test('--trtexec comes before TRTEXEC, that before PATH, then the home of TensorRT, then the usual places', async () => {
  const [named, variable, onPath, home, usual] = installed as [string, string, string, string, string];
  const env: NodeJS.ProcessEnv = {
    TRTEXEC: variable,
    PATH: [join(scratch, 'no such folder'), '', '.', dirname(onPath)].join(':'),
    TENSORRT_HOME: dirname(dirname(home)),
  };
  const options = { usualPlaces: [join(scratch, 'nothing'), dirname(usual)] };
  const order = [named, variable, onPath, home, usual];
  const found: (string | false)[] = [];
  let path: string | undefined = named;
  for (const taken of [undefined, 'path', 'TRTEXEC', 'PATH', 'TENSORRT_HOME']) {
    if (taken === 'path') path = undefined;
    else if (taken !== undefined) delete env[taken];
    const result = await findTrtexec({ path, env, ...options });
    found.push(result.ok && result.value.path);
  }
  expect(found).toEqual(order);
});

test('nothing anywhere: the message says where, the hint what to do', async () => {
  // A folder on PATH that depends on where one is does not count.
  const here = relative(process.cwd(), dirname(installed[0]!));
  const result = await findTrtexec({ env: { PATH: `${scratch}:${here}` }, usualPlaces: ['/no/such/place'] });
  expect(result).toMatchObject({
    ok: false,
    diagnostics: [{ code: 'trtexec-missing', message: 'There is no trtexec on PATH, nor in /no/such/place.' }],
  });
  expect(exitCodeOf(result.diagnostics)).toBe(4);
});

test('a relative path counts from here; a name is looked for on PATH; a link leads to its end', async () => {
  const [named, , onPath] = installed as [string, string, string];
  const here = await find(relative(process.cwd(), named), {});
  expect(here.ok && here.value.path).toBe(named);
  const byName = await find('trtexec', {}, { PATH: dirname(onPath) });
  expect(byName.ok && byName.value.path).toBe(onPath);
  const link = join(scratch, 'link');
  await symlink(named, link);
  expect((await find(link, {})).ok).toBe(true);
  const missing = await find('trtexec-11', {}, { PATH: dirname(onPath) });
  expect(missing).toMatchObject({ ok: false, diagnostics: [{ code: 'trtexec-missing' }] });
});

test.each([
  ['10.0.1', []],
  ['11.1.0', []],
  ['11.2.1', ['trtexec-newer']],
])('version %s', async (version, codes) => {
  const result = await find(installed[0], { version });
  expect(result.ok && formatVersion(result.value.version)).toBe(version);
  expect(result.diagnostics.map(({ code, severity }) => [code, severity])).toEqual(codes.map((code) => [code, 'note']));
});

test.each(['8.6.1', '9.3.0'])('version %s is too old, and is told rightly', async (version) => {
  const result = await find(installed[0], { version });
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'trtexec-too-old' }] });
  expect(result.diagnostics[0]?.message).toContain(`is of TensorRT ${version}; rtc writes for 10.0 and later.`);
  expect(exitCodeOf(result.diagnostics)).toBe(4);
});

test.each([
  ['help:missing-library', 'trtexec-library', /not the library "libcudart\.so\.13"/],
  ['help:garbage', 'trtexec-failed', /does not say which version.*\n {2}usage: something-else/],
  ['help:crash', 'trtexec-crashed', /crashed \(SIGILL\)/],
] as const)('%s', async (fail, code, message) => {
  const result = await find(installed[0], { fail });
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code, message: expect.stringMatching(message) }] });
  expect(exitCodeOf(result.diagnostics)).toBe(4);
});

test('the version counts, not what comes of asking for help', async () => {
  expect((await find(installed[0], { fail: 'help:unknown-flag', version: '10.3.0' })).ok).toBe(true);
});

test('one that never answers is ended', async () => {
  const pids = join(scratch, 'pids');
  const env = standInEnv({ fail: 'help:hang', pids });
  const result = await findTrtexec({ path: installed[0], env, timeoutMs: 2500, graceMs: 50 });
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'trtexec-timeout' }] });
  await waitUntilGone((await readFile(pids, 'utf8')).trim().split('\n').map(Number));
});

test('interrupted while it is asked', async () => {
  const result = await findTrtexec({ path: installed[0], env: {}, signal: AbortSignal.abort() });
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'interrupted' }] });
  expect(exitCodeOf(result.diagnostics)).toBe(130);
});

/** The beginning of a program for Linux. */
function elf(machine: number, littleEndian = true): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, littleEndian ? 1 : 2, 1]);
  new DataView(bytes.buffer).setUint16(18, machine, littleEndian);
  return bytes;
}

test.each([
  ['for another processor', elf(process.arch === 'arm64' ? 62 : 183), 0o755, 'is for processors of'],
  ['for another one, big-endian', elf(21, false), 0o755, 'is for processors of another kind (21)'],
  ['not executable', '#!/bin/sh\n', 0o644, 'may not be executed'],
  [
    'of some text',
    'echo "&&&& RUNNING TensorRT.trtexec [TensorRT v110100]"\n',
    0o755,
    'is neither a program nor a script',
  ],
  ['empty', '', 0o755, 'is neither a program nor a script'],
])('a file %s is not run', async (name, content, mode, problem) => {
  const path = join(scratch, `file ${name}`);
  await writeFile(path, content);
  await chmod(path, mode);
  const result = await find(path, {});
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'trtexec-failed' }] });
  expect(result.diagnostics[0]?.message).toContain(`"${path}", which --trtexec names, ${problem}`);
});

test('a folder, and a path that is not there', async () => {
  const folder = join(scratch, 'folder');
  await mkdir(folder);
  const asFolder = await find(folder, {});
  expect(asFolder.diagnostics[0]).toMatchObject({
    code: 'trtexec-failed',
    hint: `Name the program in it: ${folder}/trtexec.`,
  });
  const gone = await find(undefined, {}, { TRTEXEC: join(scratch, 'gone/trtexec') });
  expect(gone.diagnostics[0]).toMatchObject({
    code: 'trtexec-missing',
    message: `"${join(scratch, 'gone/trtexec')}", which TRTEXEC names, does not exist.`,
  });
});
