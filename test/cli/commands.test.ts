import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseGraph } from '../../ir/parse.ts';
import { models, replaceModule, rtc } from './rtc.ts';
import { runHere } from './run-here.ts';

let scratch: string;
let unrolled: string;
let loop: string;
const kjv = join(models, 'kjv-relaxed');

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-commands-'));
  unrolled = join(scratch, 'unrolled');
  loop = join(scratch, 'loop');
  for (const [form, out] of [
    ['unrolled', unrolled],
    ['loop', loop],
  ] as const) {
    const { exitCode, stderr } = await runHere(['compile', kjv, '--form', form, '--out', out]);
    if (exitCode !== 0) throw new Error(stderr);
  }
});
afterAll(() => rm(scratch, { recursive: true }));

describe('compile', () => {
  test('writes ./<name>-<form>, names it in the last line, and tells the rest on stderr', async () => {
    const { exitCode, stdout, stderr } = await rtc(['compile', kjv], { cwd: scratch });
    expect(exitCode).toBe(0);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('compiled ./kjv-relaxed-depth-batched');
    expect(stdout).toMatch(/^ {2}model\.safetensors +2\.31 MB {2}the checkpoint's own$/m);
    expect(readdirSync(join(scratch, 'kjv-relaxed-depth-batched'))).toEqual(
      expect.arrayContaining(['propagate.onnx', 'rtc.json', 'step.onnx']),
    );
    expect(stderr).toContain('… read\n');
    expect(stderr).toContain('merge-lora: ');
    expect(stdout + stderr).not.toContain('\u001b');
  });

  test('with --quiet says where the package is, and nothing else', async () => {
    const out = join(scratch, 'quiet');
    expect(await runHere(['compile', kjv, '--quiet', '--out', out])).toEqual({
      exitCode: 0,
      stdout: `${out}\n`,
      stderr: '',
    });
  });

  test('with --json is one document', async () => {
    const out = join(scratch, 'json');
    const { exitCode, stdout } = await runHere(['compile', kjv, '--json', '--form', 'loop', '--out', out]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      version: 1,
      ok: true,
      package: out,
      files: expect.arrayContaining([{ path: 'model.safetensors', bytes: 2_305_848, linked: true }]),
      passes: expect.arrayContaining([expect.objectContaining({ name: 'fold-loop' })]),
      diagnostics: [],
    });
  });

  test('--stop-after prints a graph that reads back, and writes nothing', async () => {
    const { exitCode, stdout } = await rtc(['compile', kjv, '--stop-after', 'fold-loop', '--quiet'], {
      cwd: await mkdtemp(join(scratch, 'stop-')),
    });
    expect(exitCode).toBe(0);
    const parsed = parseGraph(stdout);
    expect(parsed.ok && parsed.graph.ops.some(({ kind }) => kind === 'loop')).toBe(true);
  });

  test('a pass that does not exist is a problem, with the near one', async () => {
    const { exitCode, stderr } = await runHere([
      'compile',
      kjv,
      '--stop-after',
      'fold-lop',
      '--out',
      join(scratch, 'no'),
    ]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('fold-loop');
  });

  test('--dump-passes writes the graph behind every pass', async () => {
    const dump = join(scratch, 'dump');
    const { exitCode } = await runHere(['compile', kjv, '--dump-passes', dump, '--out', join(scratch, 'dumped')]);
    expect(exitCode).toBe(0);
    const names = readdirSync(dump).sort();
    expect(names[0]).toBe('00-source.rtc');
    expect(names[1]).toBe('01-fold-loop.rtc');
    const inspected = await runHere(['inspect', join(dump, names[1]!), '--json']);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ kind: 'rtc', stage: 'folded' });
    expect(names).toContain('02-depth-batch.rtc');
    expect(names).toContain('propagate-00-propagate-exits.rtc');
  });

  test('a place for dumps that cannot be written is a problem', async () => {
    const file = join(scratch, 'a-file');
    await writeFile(file, '');
    const { exitCode, stderr } = await runHere([
      'compile',
      kjv,
      '--dump-passes',
      file,
      '--out',
      join(scratch, 'undumped'),
    ]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('not-a-folder');
    expect(stderr).toContain(file);
    expect(existsSync(join(scratch, 'undumped'))).toBe(false);
  });

  test('RTC_DEBUG=1 shows the passes', async () => {
    const run = (env: NodeJS.ProcessEnv) => runHere(['compile', kjv, '--out', join(scratch, 'debug')], env);
    expect((await run({ RTC_DEBUG: '1' })).stderr).toContain('fold-loop');
    expect((await run({})).stderr).not.toContain('fold-loop');
  });

  test('a folder that is no package is refused and stays as it is', async () => {
    const out = join(scratch, 'mine');
    await mkdir(out);
    await writeFile(join(out, 'thesis.txt'), 'years of work');
    const { exitCode, stdout } = await runHere(['compile', kjv, '--out', out]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(readdirSync(out)).toEqual(['thesis.txt']);
  });

  test('Ctrl-C leaves nothing behind', async () => {
    const folder = await mkdtemp(join(scratch, 'interrupted-'));
    const process = rtc(['compile', kjv, '--write-weights'], { cwd: folder });
    process.stderr?.once('data', () => process.kill('SIGINT'));
    const { exitCode, stderr } = await process;
    expect(exitCode).toBe(130);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('run', () => {
  test('continues a prompt on stdout, piece by piece, and counts on stderr', async () => {
    const process = rtc(['run', unrolled, '--prompt', 'And God said', '--max-new-tokens', '200', '--ignore-eos']);
    const chunks: string[] = [];
    process.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
    const { exitCode, stdout, stderr } = await process;
    expect(exitCode).toBe(0);
    expect(chunks.length).toBeGreaterThan(3);
    expect(stdout).toMatch(/^And God said[ ,].+\n$/s);
    expect(stderr).toMatch(/^200 tokens in [\d.]+ s \([\d.]+ a second\), 200 steps, 200 rows$/m);
  });

  test('--quiet leaves the new text alone', async () => {
    const [loud, quiet] = [
      await runHere(['run', unrolled, '--prompt', 'And God said', '--max-new-tokens', '8']),
      await runHere(['run', unrolled, '--prompt', 'And God said', '--max-new-tokens', '8', '--quiet']),
    ];
    expect(`And God said${quiet.stdout}`).toBe(loud.stdout);
    expect(quiet.stderr).toBe('');
  });

  test('several sequences stand under their numbers in the order in which they were given', async () => {
    const line = ['--prompt', 'And God said', '--tokens', '5,6,7', '--prompt', 'Blessed are', '--max-new-tokens', '3'];
    const { exitCode, stdout } = await runHere(['run', unrolled, ...line, '--ignore-eos']);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^\[1\] And God said.*^\[2\] 5 6 7 \d+ \d+ \d+$.*^\[3\] Blessed are/ms);
  });

  test('--json is the contract, with prompts as tokens', async () => {
    const line = ['--tokens', '1,42,7', '--tokens', '5,6', '--max-new-tokens', '4', '--ignore-eos', '--json'];
    const { exitCode, stdout, stderr } = await runHere(['run', loop, ...line, '--exit-threshold', '1']);
    expect(exitCode).toBe(0);
    const document = JSON.parse(stdout);
    const sequence = (prompt: number[]) => ({
      prompt,
      tokens: new Array(4).fill(expect.any(Number)),
      exits: [3, 3, 3, 3],
    });
    expect(document).toEqual({
      version: 1,
      sequences: [sequence([1, 42, 7]), sequence([5, 6])],
      steps: 4,
      rows: 8,
      seconds: expect.any(Number),
    });
    expect(stderr).toContain('after loop 3');
  });

  test('the same seed gives the same text, another seed another', async () => {
    const run = async (seed: string) =>
      (await runHere(['run', unrolled, '--prompt', 'And', '--temperature', '1', '--seed', seed, '--quiet'])).stdout;
    const [first, again, other] = [await run('1'), await run('1'), await run('2')];
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });

  test('--temperature 0 is greedy', async () => {
    const run = async (...more: string[]) => (await runHere(['run', unrolled, '--tokens', '5,6', ...more])).stdout;
    expect(await run('--temperature', '0')).toBe(await run());
  });

  test('a threshold on the form unrolled is told to change nothing', async () => {
    const { exitCode, stderr } = await runHere(['run', unrolled, '--tokens', '5', '--exit-threshold', '0.5']);
    expect(exitCode).toBe(0);
    expect(stderr).toContain('warning threshold-ignored');
    const never = await runHere(['run', unrolled, '--tokens', '5', '--exit-threshold', '1']);
    expect(never.stderr).not.toContain('threshold-ignored');
  });

  test.each([
    ['--exit-at', '2', 'exit-needs-loop-form'],
    ['--max-new-tokens', '513', 'too-many-tokens'],
    ['--tokens', '1024', 'unknown-token'],
  ])('%s %s is a problem of the input', async (option, value, code) => {
    const { exitCode, stdout, stderr } = await runHere(['run', unrolled, '--tokens', '5', option, value]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toContain(`error ${code}`);
  });

  test('text needs a tokenizer, token ids do not', async () => {
    const out = join(scratch, 'no-tokenizer');
    await runHere(['compile', join(models, 'llama-recursive'), '--form', 'unrolled', '--out', out]);
    const { exitCode, stderr } = await runHere(['run', out, '--prompt', 'And']);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('error no-tokenizer');
    const { stdout } = await runHere(['run', out, '--tokens', '5,6', '--max-new-tokens', '2', '--ignore-eos']);
    expect(stdout).toMatch(/^5 6 \d+ \d+\n$/);
  });

  test('a folder that is no package is a problem', async () => {
    const { exitCode, stderr } = await runHere(['run', kjv, '--prompt', 'And']);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('error not-a-package');
  });

  test('without onnxruntime-node the exit code is 4, with how to get it', async () => {
    const missing = `throw Object.assign(new Error("Cannot find package 'onnxruntime-node'"), { code: 'ERR_MODULE_NOT_FOUND' });`;
    const { exitCode, stderr } = await rtc(['run', unrolled, '--prompt', 'And'], {
      env: replaceModule('onnxruntime-node', missing),
    });
    expect(exitCode).toBe(4);
    expect(stderr).toContain('npm install onnxruntime-node');
  });

  test('Ctrl-C ends it with 130, in the middle of a line', async () => {
    const process = rtc(['run', unrolled, '--prompt', 'And', '--max-new-tokens', '500', '--ignore-eos']);
    process.stdout?.once('data', () => process.kill('SIGTERM'));
    const { exitCode, stderr } = await process;
    expect(exitCode).toBe(130);
    expect(stderr).toBe('… loading\n');
  });
});

describe('verify', () => {
  test('a good package is exit code 0, with a table', async () => {
    const reference = ['--reference', join(kjv, 'reference.safetensors')];
    const { exitCode, stdout } = await runHere(['verify', unrolled, ...reference]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('logits');
    expect(await runHere(['verify', unrolled, ...reference, '--quiet'])).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: '',
    });
  });

  test('--json is the contract', async () => {
    const { exitCode, stdout } = await runHere([
      'verify',
      unrolled,
      '--json',
      '--reference',
      join(kjv, 'reference.safetensors'),
    ]);
    expect(exitCode).toBe(0);
    const document = JSON.parse(stdout);
    expect(Object.keys(document)).toEqual(['version', 'ok', 'outputs']);
    expect(document).toMatchObject({ version: 1, ok: true });
    for (const output of document.outputs) {
      expect(Object.keys(output)).toEqual(['name', 'maxAbs', 'maxRel', 'tolerance', 'argmaxAgreement', 'ok']);
    }
  });

  test('numbers that differ are exit code 3', async () => {
    const reference = join(scratch, 'wrong.safetensors');
    const bytes = await readFile(join(kjv, 'reference.safetensors'));
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString());
    const [start] = header.logits.data_offsets;
    const at = 8 + Number(bytes.readBigUInt64LE()) + start;
    bytes.writeFloatLE(bytes.readFloatLE(at) + 1, at);
    await writeFile(reference, bytes);
    const { exitCode, stdout } = await runHere(['verify', unrolled, '--reference', reference]);
    expect(exitCode).toBe(3);
    expect(stdout).toContain('"logits" differs first at');
    const json = await runHere(['verify', unrolled, '--reference', reference, '--json']);
    expect(json.exitCode).toBe(3);
    expect(JSON.parse(json.stdout).ok).toBe(false);
  });

  test('a reference that is not there is exit code 1', async () => {
    const { exitCode } = await runHere(['verify', unrolled, '--reference', join(scratch, 'nowhere.safetensors')]);
    expect(exitCode).toBe(1);
  });
});

test('a package that moved is as good as before', async () => {
  const moved = join(scratch, 'moved');
  await cp(unrolled, moved, { recursive: true });
  expect((await runHere(['run', moved, '--prompt', 'And', '--max-new-tokens', '2'])).exitCode).toBe(0);
  expect(existsSync(join(moved, 'rtc.json'))).toBe(true);
});
