import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readExitTrace } from '../../compiler/cli/exit-trace.ts';
import { byteCount } from '../../compiler/cli/option-values.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-trace-'));
});
afterAll(() => rm(scratch, { recursive: true }));

async function read(text: string, sequences = 2) {
  const path = join(scratch, 'trace.json');
  await writeFile(path, text);
  const result = await readExitTrace(path, sequences, 3);
  return result.ok
    ? result.value
    : result.diagnostics.map(({ code, location, message }) => `${code} ${location?.path ?? ''} ${message}`);
}

test('a trace is lists of loops, or what rtc run printed', async () => {
  const trace = [[3, 1, 2], []];
  expect(await read(JSON.stringify(trace))).toEqual(trace);
  const sequences = trace.map((exits) => ({ prompt: [1], tokens: exits, exits }));
  expect(await read(JSON.stringify({ version: 1, sequences, steps: 3, rows: 4, seconds: 1 }))).toEqual(trace);
});

test.each<[string, string]>([
  ['[[1],[2],[3]]', 'invalid-exit-trace  There are 3 lists of exits in it for 2 sequences.'],
  ['[[1],[1,4]]', 'invalid-exit-trace [1][1] 4 is no loop to exit at; the model has loops 1 to 3.'],
  ['[[1],[0]]', 'invalid-exit-trace [1][0] 0 is no loop to exit at; the model has loops 1 to 3.'],
  ['[[1],["2"]]', 'invalid-exit-trace [1][0] "2" is no loop to exit at; the model has loops 1 to 3.'],
  ['[[1],2]', 'invalid-exit-trace [1] 2 stands where a list of loops was expected.'],
  ['{"exits":[[1],[2]]}', 'invalid-exit-trace  an object stands where exits were expected.'],
  [
    '{"sequences":[{"exits":[1]},{"tokens":[1]}]}',
    'invalid-exit-trace sequences[1].exits nothing stands where a list of loops was expected.',
  ],
])('%s is refused', async (text, problem) => {
  expect(await read(text)).toEqual([problem]);
});

test('a file that is not there, or no JSON', async () => {
  expect(await readExitTrace(join(scratch, 'nothing.json'), 1, 3)).toMatchObject({
    ok: false,
    diagnostics: [{ code: 'missing-file' }],
  });
  expect(await read('[[1],')).toEqual([expect.stringContaining('invalid-json')]);
});

test.each([
  ['1000', 1000],
  ['512M', 512 * 2 ** 20],
  ['2g', 2 ** 31],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['4KB', 4096],
])('%s are %d bytes', (text, bytes) => {
  expect(byteCount('--page-memory')(text)).toBe(bytes);
});

test.each(['', '-1', 'M', '1e3', '10 M B', '9999999T', '0.0001'])('"%s" are no bytes', (text) => {
  expect(() => byteCount('--page-memory')(text)).toThrow('bytes, such as 512M or 2G, were expected');
});
