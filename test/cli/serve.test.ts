import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { importFirst, models, rtc } from './rtc.ts';
import { runHere } from './run-here.ts';

let scratch: string;
let kjv: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-serve-'));
  kjv = join(scratch, 'kjv');
  const { exitCode, stderr } = await runHere(['compile', join(models, 'kjv-relaxed'), '--out', kjv]);
  if (exitCode !== 0) throw new Error(stderr);
});
afterAll(() => rm(scratch, { recursive: true }));

describe('wrong usage', () => {
  test.each<[string, string]>([
    ['serve', 'PACKAGE is missing.'],
    ['serve a --port 70000', '"70000" is no value for --port'],
    ['serve a --port x', '"x" is no value for --port'],
    ['serve a --max-body 1X', '"1X" is no value for --max-body'],
    ['serve a --timeout 0', '"0" is no value for --timeout'],
    ['serve a --timeout 1e9', '"1e9" is no value for --timeout'],
    ['serve a --grace -1', '"-1" is no value for --grace'],
    ['serve a --max-rows 0', '"0" is no value for --max-rows'],
    ['serve a --kv-policy best', '"best" is nothing that --kv-policy knows.'],
    ['serve a --mean-loops 0.5', '"0.5" is no value for --mean-loops'],
    ['serve a --mean-loops 2 --exit-threshold 1', '"--exit-threshold" and "--mean-loops" do not go together'],
    ['serve a --prot 80', 'There is no option "--prot". Did you mean "--port"?'],
  ])('rtc %s', async (line, message) => {
    const { exitCode, stdout, stderr } = await runHere(line.split(' '));
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  test('help is a page with examples', async () => {
    const [asked, flagged] = await Promise.all([runHere(['help', 'serve']), runHere(['serve', '--help'])]);
    expect(asked).toMatchObject({ exitCode: 0, stderr: '', stdout: flagged.stdout });
    expect(asked.stdout).toContain('$ rtc serve ');
  });
});

describe('what cannot be served is a diagnostic', () => {
  test('no package', async () => {
    const { exitCode, stderr } = await runHere(['serve', scratch]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^error /m);
  });

  test('more loops on average than there are, before anything is loaded', async () => {
    const { exitCode, stderr } = await runHere(['serve', kjv, '--mean-loops', '3.5']);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('The mean of loops is 3.5; a number from 1 to 3 was expected.');
  });

  test('pages that hold nothing, in the words of the flags', async () => {
    const { exitCode, stderr } = await runHere(['serve', kjv, '--page-memory', '1000']);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/\(--page-memory\)\.$/m);
  });

  test('another form', async () => {
    const loop = join(scratch, 'loop');
    await runHere(['compile', join(models, 'kjv-relaxed'), '--form', 'loop', '--out', loop]);
    const { exitCode, stderr } = await runHere(['serve', loop]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('depth-batched');
  });

  test('too little memory', async () => {
    const { exitCode, stderr } = await runHere(['serve', kjv, '--page-memory', '1K']);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('error too-few-pages');
  });

  test('a port that is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      other.close();
    });
    const address = other.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const { exitCode, stdout, stderr } = await runHere(['serve', kjv, '--port', `${port}`, '--json']);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`Something else listens on 127.0.0.1:${port}.`);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, diagnostics: [{ code: 'cannot-listen' }] });
  });
});

/** Starts `rtc serve` in a process of its own, on any port, and waits until it says where. */
async function serve(args: readonly string[], env: object = {}) {
  const started = rtc(['serve', kjv, '--port', '0', '--threads', '1', '--json', ...args], { env });
  onTestFinished(() => {
    started.kill('SIGKILL');
  });
  let stdout = '';
  await new Promise<void>((resolve, reject) => {
    started.stdout!.on('data', (data) => {
      stdout += data;
      if (stdout.includes('\n')) resolve();
    });
    started.then(({ stderr }) => reject(new Error(stderr)));
  });
  const ready = JSON.parse(stdout) as { readonly url: string };
  const post = (body: object) =>
    fetch(`${ready.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  return { started, ready, post };
}

const long = { prompt: 'In the beginning', max_tokens: 400, ignore_eos: true, temperature: 0 };

describe('a server in a process of its own', () => {
  test('says when it is ready, generates as rtc run does, and ends well on Ctrl-C', async () => {
    const { started, ready, post } = await serve(['--max-rows', '4']);
    expect(ready).toEqual({
      version: 1,
      ok: true,
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      model: 'kjv-relaxed',
      chat: false,
      limits: expect.objectContaining({ maxRows: 4, maxSequences: 4 }),
    });
    const body = { prompt: 'In the beginning', max_tokens: 12, temperature: 0, exit_threshold: 0.6 };
    const answer = (await (await post({ ...body, return_token_ids: true })).json()) as {
      choices: { token_ids: number[]; exits: number[]; text: string }[];
    };
    const flags = ['--prompt', body.prompt, '--max-new-tokens', '12', '--exit-threshold', '0.6', '--threads', '1'];
    const run = JSON.parse((await runHere(['run', kjv, ...flags, '--json'])).stdout);
    expect(answer.choices[0]).toMatchObject({ token_ids: run.sequences[0].tokens, exits: run.sequences[0].exits });
    expect(answer.choices[0]!.text.length).toBeGreaterThan(10);

    // What runs is finished first.
    const running = post(long);
    await expect
      .poll(async () => (await (await fetch(`${ready.url}/metrics`)).text()).includes('{state="running"} 1'))
      .toBe(true);
    started.kill('SIGINT');
    const finished = (await (await running).json()) as { usage: { completion_tokens: number } };
    expect(finished.usage.completion_tokens).toBe(400);
    const { exitCode, stderr, stdout } = await started;
    expect(exitCode).toBe(0);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(
      /^at most [\d.]+ MB of keys and values, for 4 sequences of up to 512 positions; 4 rows a step$/m,
    );
    expect(stderr).toMatch(/^completions ok: 7 tokens in, 12 out of [\d.]+ loops, [\d.]+ s$/m);
    expect(stderr).toMatch(/^stopping; what runs may go on for 10 s/m);
  });

  test('gives up after its grace, warns of the network, and says nothing else with --quiet', async () => {
    const { started, ready, post } = await serve(['--grace', '0', '--host', '0.0.0.0', '--quiet', '--max-queue', '20']);
    const url = ready.url.replace('0.0.0.0', '127.0.0.1');
    const running = post({ ...long, n: 20 });
    await expect.poll(async () => (await (await fetch(`${url}/health`)).json()) as object).toEqual({ status: 'ok' });
    await expect.poll(async () => (await (await fetch(`${url}/metrics`)).text()).includes('in_progress 1')).toBe(true);
    started.kill('SIGTERM');
    const answer = await running;
    expect(answer.status).toBe(503);
    const { exitCode, stderr } = await started;
    expect({ exitCode, stderr }).toEqual({ exitCode: 130, stderr: '' });
  });
});

test('when ONNX Runtime fails, requests are told, and the server ends with its exit code', async () => {
  const runtime = createRequire(import.meta.url).resolve('onnxruntime-node');
  const env = importFirst(`
      import { createRequire } from 'node:module';
      const { InferenceSession } = createRequire(${JSON.stringify(runtime)})(${JSON.stringify(runtime)});
      const run = InferenceSession.prototype.run;
      let calls = 0;
      InferenceSession.prototype.run = function (...args) {
        if (++calls > 5) throw new Error('the moon is full');
        return run.apply(this, args);
      };`);
  const { started, post } = await serve([], env);
  const answer = await post(long);
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ error: { message: expect.stringContaining('the moon is full') } });
  const { exitCode, stderr } = await started;
  expect(exitCode).toBe(4);
  expect(stderr).toMatch(/^error onnxruntime-failed[\s\S]*the moon is full/m);
  expect(stderr).not.toMatch(/^\s+at /m);
});
