import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compiled } from '../../e2e/open-package.ts';
import { makeTinyModel } from '../../support/tiny-model.ts';

const runtime = new URL('../../../dist/runtime/index.js', import.meta.url).href;
let scratch: string;
let folder: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-engine-process-'));
  const model = join(scratch, 'model');
  makeTinyModel(model, { maxPositions: 4096, hiddenSize: 64, heads: 8 });
  folder = await compiled({ model, form: 'depth-batched', out: join(scratch, 'package') });
});
afterAll(() => rm(scratch, { recursive: true }));

/** A program with an engine that runs a step of a second or so; `rest` is what the program does meanwhile. */
async function program(rest: string) {
  const script = `
    import { openEngine } from ${JSON.stringify(runtime)};
    const opened = await openEngine(${JSON.stringify(folder)}, { threads: 1, prefillChunk: 4096 });
    if (!opened.ok) throw new Error(JSON.stringify(opened.diagnostics));
    const engine = opened.value;
    const submit = (length, maxNewTokens) => engine.submit({ prompt: new Array(length).fill(3), maxNewTokens }).value;
    ${rest}`;
  const path = join(scratch, 'program.mjs');
  await writeFile(path, script);
  return execa(process.execPath, [path], { reject: false, timeout: 50_000, cwd: fileURLToPath(new URL('.', runtime)) });
}

// Without the gate ONNX Runtime's binding aborts the process: signal 6, exit code 134.
test.each([
  ['process.exit()', `process.exit(3);`, 3, ''],
  ['an error that nobody catches', `throw new Error('my own mistake');`, 1, 'my own mistake'],
])('%s in the middle of a step ends the process with its own code', async (_, end, code, message) => {
  const { exitCode, signal, stderr } = await program(`
    submit(1400, 1);
    setTimeout(() => { ${end} }, 60);`);
  expect({ exitCode, signal }, stderr).toEqual({ exitCode: code, signal: undefined });
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('Napi');
});

test('closed in the middle of a step, an engine leaves nothing that keeps the process', async () => {
  const { exitCode, stdout, stderr } = await program(`
    const running = submit(1400, 1);
    await new Promise((resolve) => setTimeout(resolve, 60));
    await engine.close();
    process.on('exit', () => console.log(process.getActiveResourcesInfo().filter((name) => /Port|Worker/.test(name)).length));
    console.log((await running.done).finished);`);
  expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 0, stdout: 'cancelled\n0' });
});

test('an engine keeps the process until what it runs is done and it is closed', async () => {
  const { stdout, stderr } = await program(`
    submit(5, 6).done.then(({ tokens }) => { console.log(tokens.length); return engine.close(); });`);
  expect(stdout, stderr).toBe('6');
});
