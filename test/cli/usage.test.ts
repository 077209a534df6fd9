import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { commandNames } from '../../compiler/cli/program.ts';
import { runHere } from './run-here.ts';

const missing = fileURLToPath(new URL('../models/nothing-here', import.meta.url));

describe('wrong usage is exit code 2, a sentence on stderr, and nothing on stdout', () => {
  test.each<[string, string]>([
    ['compil model.json', 'There is no command "compil". Did you mean "compile"?'],
    ['compile', 'MODEL is missing.'],
    ['compile a b', 'There are 2 arguments where 1 was expected.'],
    ['compile a --fom loop', 'There is no option "--fom". Did you mean "--form"?'],
    ['compile a --form', 'The option "--form <form>" needs a value.'],
    ['compile a --form lop', '"lop" is nothing that --form knows. Did you mean "loop"?'],
    ['compile a -- --verbose', 'What stands behind "--" is for trtexec, and goes with --target tensorrt.'],
    ['compile a --max-rows 8', '--max-rows goes with --target tensorrt.'],
    ['compile a --no-build', '--no-build goes with --target tensorrt.'],
    ['compile a --target tensorrt b', 'There are 2 arguments where 1 was expected.'],
    ['compile a --target tensorrt -- b', 'What is for trtexec stands behind "--", and begins with two dashes'],
    ['compile a --target tensorrt -- --verbose on', 'trtexec takes --flag=value, and "on" is none.'],
    ['compile a --target tensorrt --form loop', '--form loop has a Loop that ends by a condition'],
    ['compile a --target tensorrt --dialect ort', '--dialect goes with --target onnx'],
    [
      'compile a --target tensorrt --form unrolled --layout huggingface',
      '--layout huggingface goes with --target onnx.',
    ],
    ['compile a --target tensorrt --form unrolled --mean-loops 2', 'in the form unrolled tokens leave nowhere.'],
    ['compile a --target tensorrt --max-rows 0', '"0" is no value for --max-rows: a whole number from 1 to 65536'],
    ['compile a --target tensorrt --max-context 1e9', '"1e9" is no value for --max-context'],
    ['compile a --target tensorrt --prefill-chunk x', '"x" is no value for --prefill-chunk'],
    ['compile a --target tensorrt --exit-shares 0.5,0.6', '"0.5,0.6" is no value for --exit-shares'],
    ['compile a --target tensorrt --exit-shares 0.5,,0.5', '"0.5,,0.5" is no value for --exit-shares'],
    ['compile a --target tensorrt --mean-loops 2 --exit-shares 1', '"--exit-shares" and "--mean-loops" do not go'],
    ['compile a --target tensorrt --tensorrt-version 8.6', '"8.6" is no value for --tensorrt-version'],
    ['compile a --target tensorrt --attention fused', '"fused" is nothing that --attention knows.'],
    [
      'compile a --target tensorrt --workspace 4',
      '"4" is no value for --workspace: a size with B, K, M or G behind it',
    ],
    ['compile a --target tensorrt --optimization-level 9', '"9" is no value for --optimization-level'],
    ['compile a --target tensorrt --timing-cache-sha256 12', '"12" is no value for --timing-cache-sha256'],
    [
      `compile a --target tensorrt --timing-cache-sha256 ${'0'.repeat(64)}`,
      '--timing-cache-sha256 says what --timing-cache has to be, and there is none.',
    ],
    ['compile a --target tensorrt --no-build --cache-dir b', '--cache-dir is for building engines'],
    ['compile a --target tensorrt --build-timeout 0', '"0" is no value for --build-timeout'],
    ['compile a --target triton --form unrolled', '--target triton runs rows of all depths in one step'],
    [
      'compile a --target triton --dialect ort --tensorrt-version 11.1',
      '--dialect says which graphs ONNX Runtime gets',
    ],
    ['compile a --precision int8', 'This version does not have --precision int8 yet.'],
    ['compile a --precision int4', 'This version does not have --precision int4 yet.'],
    ['compile a --page-size 40', '"40" is no value for --page-size: a multiple of 16'],
    ['compile a --attention-groups 0', '"0" is no value for --attention-groups: a whole number from 1 to 16'],
    ['compile a --form loop --page-size 64', '--page-size goes with --form depth-batched'],
    ['compile a --form unrolled --attention-groups 2', '--attention-groups goes with --form depth-batched'],
    ['compile a --form loop --lora gather', '--lora gather looks factors up for every row'],
    ['compile a --form loop --exit-logits', '--exit-logits goes with --form unrolled'],
    ['compile a --form loop --layout huggingface', '--layout huggingface goes with --form unrolled'],
    ['compile a --form loop --lora bake', '--lora bake gives every loop weights of its own'],
    ['compile a --exit-logits', 'in the form depth-batched exits are taken by whoever runs the graph.'],
    ['compile a --layout huggingface', 'Add --form unrolled.'],
    ['compile a --lora bake', '--form depth-batched has them once.'],
    ['run', 'PACKAGE is missing.'],
    ['run a', 'There is nothing to continue.'],
    ['run a --tokens 1,x', '"1,x" is no value for --tokens'],
    ['run a --tokens -1', '"-1" is no value for --tokens'],
    ['run a --prompt x --max-new-tokens 0', '"0" is no value for --max-new-tokens'],
    ['run a --prompt x --exit-threshold NaN', '"NaN" is no value for --exit-threshold'],
    ['run a --prompt x --exit-at 1.5', '"1.5" is no value for --exit-at'],
    ['run a --prompt x --exit-at 1 --exit-threshold 1', '"--exit-threshold" and "--exit-at" do not go together'],
    ['run a --prompt x --exit-at 1 --exit-trace a', '"--exit-at" and "--exit-trace" do not go together'],
    ['run a --prompt x --mean-loops 2 --exit-threshold 1', '"--exit-threshold" and "--mean-loops" do not go together'],
    ['run a --prompt x --mean-loops 0.5', '"0.5" is no value for --mean-loops'],
    ['run a --prompt x --kv-policy last', '"last" is nothing that --kv-policy knows.'],
    ['run a --prompt x --kv-policy shared --prefill-chunk 8', 'A --prefill-chunk does not go with --kv-policy shared'],
    ['run a --prompt x --row-order oldes', '"oldes" is nothing that --row-order knows. Did you mean "oldest"?'],
    ['run a --prompt x --max-rows 0', '"0" is no value for --max-rows'],
    ['run a --prompt x --prefill-chunk 0', '"0" is no value for --prefill-chunk'],
    [
      'run a --prompt x --page-memory 2X',
      '"2X" is no value for --page-memory: bytes, such as 512M or 2G, were expected.',
    ],
    ['run a --prompt x --page-memory 0', '"0" is no value for --page-memory'],
    ['run a --prompt x --temperature -1', '"-1" is no value for --temperature'],
    ['run a --prompt x --top-k 0', '"0" is no value for --top-k'],
    ['run a --prompt x --top-p 1.5', '"1.5" is no value for --top-p'],
    ['run a --prompt x --seed 1', 'A --seed changes nothing while the likeliest token is taken.'],
    ['verify', 'PACKAGE is missing.'],
    ['inspect', 'PATH is missing.'],
    ['inspect a --all', 'There is no option "--all".'],
  ])('rtc %s', async (line, message) => {
    const { exitCode, stdout, stderr } = await runHere(line.split(' '));
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain('error wrong-usage');
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('rtc alone shows the help on stderr', async () => {
    const { exitCode, stdout, stderr } = await runHere([]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain('Usage: rtc');
  });

  test('with --json the sentence is on stdout, too', async () => {
    const { exitCode, stdout } = await runHere(['compile', '--json']);
    expect(exitCode).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      version: 1,
      ok: false,
      diagnostics: [{ severity: 'error', code: 'wrong-usage', message: 'MODEL is missing.', hint: expect.any(String) }],
    });
  });
});

describe('help', () => {
  test.each([
    'convert',
    'compile',
    'run',
    'serve',
    'bench',
    'verify',
    'inspect',
    'simulate',
  ])('rtc help %s and rtc %s --help are one page with examples', async (name) => {
    const [asked, flagged] = await Promise.all([runHere(['help', name]), runHere([name, '--help'])]);
    expect(asked).toMatchObject({ exitCode: 0, stderr: '', stdout: flagged.stdout });
    expect(asked.stdout).toContain(`Usage: rtc ${name}`);
    expect(asked.stdout).toContain(`$ rtc ${name} `);
    expect(asked.stdout).toContain('--json');
    expect(asked.stdout).toContain('--quiet');
  });

  test('names the commands that exist', async () => {
    const { stdout } = await runHere(['--help']);
    for (const name of commandNames) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  test('--version', async () => {
    expect(await runHere(['--version'])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });
});

describe('problems of the input are exit code 1', () => {
  test('as text on stderr', async () => {
    const { exitCode, stdout, stderr } = await runHere(['inspect', missing]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toBe(`error missing-file  ${missing}\n  There is no file "${missing}".\n`);
  });

  test('with --json as one document on stdout', async () => {
    const { exitCode, stdout } = await runHere(['inspect', missing, '--json']);
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ version: 1, ok: false, diagnostics: [{ code: 'missing-file' }] });
  });

  test('in GitHub Actions as annotations as well', async () => {
    const { stdout, stderr } = await runHere(['inspect', missing], { GITHUB_ACTIONS: 'true' });
    expect(stdout).toBe('');
    expect(stderr).toContain('::error file=');
    expect(stderr).toContain('title=missing-file');
  });

  test.each([
    [{}, false],
    [{ FORCE_COLOR: '1' }, true],
    [{ FORCE_COLOR: '0' }, false],
    [{ NO_COLOR: '1' }, false],
  ])('in colours with %j: %s', async (env, colored) => {
    const { stderr } = await runHere(['inspect', missing], env);
    expect(stderr.includes('\u001b[')).toBe(colored);
  });
});
