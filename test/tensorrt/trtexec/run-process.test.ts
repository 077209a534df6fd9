import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { logFile } from '../../../targets/tensorrt/trtexec/log-file.ts';
import { type ProcessOptions, runProcess } from '../../../targets/tensorrt/trtexec/run-process.ts';
import { splitLines } from '../../../targets/tensorrt/trtexec/split-lines.ts';
import { waitUntilGone } from './wait-until-gone.ts';

let scratch: string;
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit'] as const;
const before = signals.map((signal) => process.listenerCount(signal));

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-process-'));
});
afterAll(() => rm(scratch, { recursive: true }));

afterEach(() => {
  expect(
    signals.map((signal) => process.listenerCount(signal)),
    'listeners that were left behind',
  ).toEqual(before);
});

const quick = { graceMs: 100, drainMs: 200 };

function sh(script: string, options: ProcessOptions = {}) {
  return runProcess('/bin/sh', ['-c', script], { ...quick, ...options });
}

test('both streams line by line, each in its order, and the exit code', async () => {
  const lines: string[] = [];
  const { end, seconds } = await sh('echo a; echo b >&2; printf "c\\r\\n\\nd"; echo e >&2; exit 3', {
    onLine: (stream, line) => lines.push(`${stream} ${line}`),
  });
  expect(end).toEqual({ kind: 'exited', code: 3 });
  expect(lines.filter((line) => line.startsWith('stdout'))).toEqual(['stdout a', 'stdout c', 'stdout ', 'stdout d']);
  expect(lines.filter((line) => line.startsWith('stderr'))).toEqual(['stderr b', 'stderr e']);
  expect(seconds).toBeGreaterThan(0);
});

test('folder and environment are as given; stdin is empty', async () => {
  const lines: string[] = [];
  await sh('pwd; echo "$MINE-$HOME"; cat; echo end', {
    ...{ cwd: scratch, env: { MINE: 'x' }, onLine: (_, line) => lines.push(line) },
  });
  expect(lines).toEqual([scratch, 'x-', 'end']);
});

test.each(['SIGSEGV', 'SIGKILL', 'SIGABRT'] as const)('the signal that it died of: %s', async (signal) => {
  const { end } = await sh(`kill -${signal.slice(3)} $$`);
  expect(end).toEqual({ kind: 'signaled', signal });
});

test('what cannot be started is told, not thrown', async () => {
  expect((await runProcess(join(scratch, 'nothing'), [], quick)).end).toMatchObject({
    kind: 'not-started',
    code: 'ENOENT',
  });
  expect((await runProcess(scratch, [], quick)).end).toMatchObject({ kind: 'not-started', code: 'EACCES' });
  expect((await sh('true', { cwd: join(scratch, 'nothing') })).end).toMatchObject({ kind: 'not-started' });
});

/** Starts a child that ignores signals and writes its number down, as the shell itself does. */
const stubborn = (pids: string) =>
  `echo $$ > '${pids}'; trap '' TERM; sh -c 'trap "" TERM INT HUP; echo $$ >> "${pids}"; while :; do sleep 0.05; done' & `;

async function pidsIn(file: string, count: number): Promise<readonly number[]> {
  for (let i = 0; i < 400; i++) {
    const numbers = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').filter(Boolean).map(Number) : [];
    if (numbers.length >= count) return numbers;
    await sleep(10);
  }
  throw new Error(`fewer than ${count} processes in ${file}`);
}

test.each([
  'timeout',
  'aborted',
] as const)('%s ends the whole group, also those who ignore being asked', async (how) => {
  const file = join(scratch, `pids-${how}`);
  const abort = new AbortController();
  const running = sh(`${stubborn(file)} while :; do sleep 0.05; done`, {
    ...(how === 'timeout' ? { timeoutMs: 1500 } : { signal: abort.signal }),
  });
  const pids = await pidsIn(file, 2);
  if (how === 'aborted') abort.abort();
  expect((await running).end).toEqual({ kind: how });
  await waitUntilGone(pids);
});

test('who ends when asked is not killed', async () => {
  const lines: string[] = [];
  const abort = new AbortController();
  const running = sh("exec 2>/dev/null; trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done", {
    ...{ signal: abort.signal, graceMs: 20_000 },
    onLine(_, line) {
      lines.push(line);
      if (line === 'up') abort.abort();
    },
  });
  // Its exit code is 0, but it is not done.
  expect((await running).end).toEqual({ kind: 'aborted' });
  expect(lines).toEqual(['up', 'bye']);
});

test('a signal that came before starts nothing', async () => {
  const file = join(scratch, 'never');
  expect((await sh(`touch '${file}'`, { signal: AbortSignal.abort() })).end).toEqual({ kind: 'aborted' });
  expect(existsSync(file)).toBe(false);
});

test('a child that is left behind goes, and is not waited for', async () => {
  const file = join(scratch, 'pids-left');
  const begin = performance.now();
  const { end } = await sh(`${stubborn(file)} while [ $(wc -l < '${file}') -lt 2 ]; do sleep 0.02; done; exit 0`);
  expect(end).toEqual({ kind: 'exited', code: 0 });
  await waitUntilGone(await pidsIn(file, 2));
  expect(performance.now() - begin).toBeLessThan(5000);
});

test('a child that left the group and holds the output is not waited for', async () => {
  const file = join(scratch, 'pids-escaped');
  const lines: string[] = [];
  const { end } = await sh(
    `setsid sh -c 'echo $$ > "${file}"; exec sleep 30' & while [ ! -s '${file}' ]; do sleep 0.02; done; echo done`,
    {
      onLine: (_, line) => lines.push(line),
    },
  );
  const [pid] = await pidsIn(file, 1);
  process.kill(pid!, 'SIGKILL');
  expect(end).toEqual({ kind: 'exited', code: 0 });
  expect(lines).toEqual(['done']);
});

test('a time beyond what timers take is no time at all', async () => {
  expect((await sh('sleep 0.2', { timeoutMs: 1e12 })).end).toEqual({ kind: 'exited', code: 0 });
});

test('200 megabytes without a line feed, and 400 000 lines, take no memory', async () => {
  let lines = 0;
  let longest = 0;
  const resident = () => process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
  const begin = resident();
  let most = 0;
  const { end } = await sh('head -c 200000000 /dev/zero; echo; seq 1 400000', {
    onLine(_, line) {
      lines++;
      longest = Math.max(longest, line.length);
      if (lines % 50_000 === 1) most = Math.max(most, resident() - begin);
    },
  });
  expect(end).toEqual({ kind: 'exited', code: 0 });
  expect(lines).toBe(400_001);
  expect(longest).toBe(16_384);
  expect(most).toBeLessThan(120e6);
});

test('the log holds every byte, whole lines of both streams', async () => {
  const path = join(scratch, 'log');
  const file = await open(path, 'w');
  const log = logFile(file);
  const script =
    'for i in $(seq 1 300); do printf "out "; printf "$i\\n"; printf "err " >&2; printf "$i\\n" >&2; done; printf "\\377\\376 last"; printf "also last" >&2';
  await sh(script, { log });
  await file.close();
  expect(log.error()).toBeUndefined();
  const bytes = await readFile(path);
  const text = bytes.toString('latin1');
  const lines = text.split('\n');
  const numbers = Array.from({ length: 300 }, (_, i) => i + 1);
  expect(lines.filter((line) => line.startsWith('out '))).toEqual(numbers.map((i) => `out ${i}`));
  expect(lines.filter((line) => line.startsWith('err '))).toEqual(numbers.map((i) => `err ${i}`));
  expect(lines).toContain('\u00ff\u00fe last');
  expect(lines).toContain('also last');
  expect(lines).toHaveLength(603);
});

test('a log that cannot be written any more ends nothing', async () => {
  const file = await open('/dev/full', 'w');
  const log = logFile(file);
  const { end } = await sh('seq 1 100000', { log });
  await file.close();
  expect(end).toEqual({ kind: 'exited', code: 0 });
  expect(log.error()).toMatchObject({ code: 'ENOSPC' });
});

test('lines split anywhere come out as they were', () => {
  const bytes = Buffer.from('a\r\n\u00e9\u{1f600}\n\n\r\nlast');
  for (let cut = 0; cut <= bytes.length; cut++) {
    const lines: string[] = [];
    const splitter = splitLines((line) => lines.push(line));
    splitter.push(bytes.subarray(0, cut));
    splitter.push(bytes.subarray(cut));
    splitter.end();
    expect(lines, `${cut}`).toEqual(['a', '\u00e9\u{1f600}', '', '', 'last']);
  }
});

const dist = new URL('../../../dist/targets/tensorrt/trtexec/run-process.js', import.meta.url).href;

test.each([
  ['process.exit(5)', 'setTimeout(() => process.exit(5), 50);', { exitCode: 5 }],
  ['an error that nobody catches', 'setTimeout(() => { throw new Error("mine"); }, 50);', { exitCode: 1 }],
  [
    'SIGTERM that nobody listens to',
    'setTimeout(() => process.kill(process.pid, "SIGTERM"), 50);',
    { signal: 'SIGTERM' },
  ],
  [
    'SIGHUP, two runs at once',
    'second(); setTimeout(() => process.kill(process.pid, "SIGHUP"), 50);',
    { signal: 'SIGHUP' },
  ],
])('this process ends by %s: so does the group', async (_, ending, expected) => {
  const file = join(scratch, `pids-${Math.random()}`);
  const program = join(scratch, 'program.mjs');
  const other = join(scratch, 'other');
  await writeFile(
    program,
    `import { existsSync, readFileSync } from 'node:fs';
     import { runProcess } from ${JSON.stringify(dist)};
     const second = () => runProcess('/bin/sh', ['-c', ${JSON.stringify(`echo $$ > '${other}'; sleep 30`)}], {});
     runProcess('/bin/sh', ['-c', ${JSON.stringify(`${stubborn(file)} while :; do sleep 0.05; done`)}], {});
     const ready = () => existsSync(${JSON.stringify(file)}) && readFileSync(${JSON.stringify(file)}, 'utf8').trim().split('\\n').length === 2;
     const poll = setInterval(() => { if (ready()) { clearInterval(poll); ${ending} } }, 10);`,
  );
  const result = await execa(process.execPath, [program], {
    reject: false,
    timeout: 20_000,
    cwd: fileURLToPath(new URL('.', dist)),
  });
  expect(result, result.stderr).toMatchObject(expected);
  await waitUntilGone(await pidsIn(file, 2));
  if (existsSync(other)) await waitUntilGone(await pidsIn(other, 1));
});

test('there is a setsid here, which a test above needs', () => {
  expect(spawnSync('setsid', ['true']).status).toBe(0);
});
