import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BindingsSource, generateBindings } from '../../compiler/bindings/generate-bindings.ts';
import { compile } from '../../compiler/compile.ts';
import { generate } from '../../runtime/generate.ts';
import { loadPackage } from '../../runtime/load-package.ts';
import { exampleManifest } from '../support/example-manifest.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-bindings-'));
  await symlink(join(root, 'node_modules'), join(scratch, 'node_modules'));
  await writeFile(join(scratch, 'package.json'), '{ "type": "module" }');
});
afterAll(() => rm(scratch, { recursive: true }));

/** Type-checks with every strictness there is; the compiler's output when it complains. */
async function check(folder: string, files: readonly string[]): Promise<string> {
  const config = {
    compilerOptions: {
      target: 'ES2023',
      lib: ['ES2023'],
      types: ['node'],
      module: 'NodeNext',
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      noUnusedLocals: true,
      noUnusedParameters: true,
      noImplicitReturns: true,
      noPropertyAccessFromIndexSignature: true,
      verbatimModuleSyntax: true,
      isolatedModules: true,
      erasableSyntaxOnly: true,
      rewriteRelativeImportExtensions: true,
      // Declarations of Node and ONNX Runtime are theirs.
      skipLibCheck: true,
      rootDir: '.',
      outDir: 'dist',
    },
    files,
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
  const { stdout, exitCode } = await execa(process.execPath, [tsc, '-p', folder], { reject: false });
  return exitCode === 0 ? '' : stdout;
}

async function project(name: string): Promise<string> {
  const folder = join(scratch, name);
  await mkdir(folder);
  return folder;
}

/** A program that goes on greedily from a prompt, with nothing but the bindings. */
function consumer(form: 'unrolled' | 'loop'): string {
  return `
import { Tensor } from 'onnxruntime-node';
import { emptyModelPast, loadModel, type ModelOutputs, nextModelPast } from './package/bindings.ts';

const model = await loadModel(process.argv[2]);
let ids = [5, 6, 7];
let past = emptyModelPast(1);
let length = 0;
const tokens: number[] = [];
const row = (numbers: readonly number[]) => new Tensor('int64', BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
while (tokens.length < 6) {
  const outputs: ModelOutputs = await model.run({
    input_ids: row(ids),
    attention_mask: row(new Array(length + ids.length).fill(1)),
    position_ids: row(ids.map((_, i) => length + i)),
    ${form === 'loop' ? `max_loops: new Tensor('int64', BigInt64Array.of(3n), []), exit_threshold: new Tensor('float32', Float32Array.of(1), []),` : ''}
    ...past,
  });
  length += ids.length;
  past = nextModelPast(outputs);
  const logits: Float32Array = outputs.logits.data;
  const last = logits.subarray(logits.length - outputs.logits.dims[2]!);
  ids = [last.indexOf(Math.max(...last))];
  tokens.push(...ids);
}
await model.release();
console.log(JSON.stringify(tokens));
`;
}

/** The same with the form depth-batched: every token runs the whole text again, loop by loop, without a page. */
const stepConsumer = `
import { Tensor, type TypedTensor } from 'onnxruntime-node';
import { loadPropagate, loadStep, type StepInputs } from './package/bindings.ts';

const step = await loadStep(process.argv[2]);
const ids = [5, 6, 7];
const integers = (numbers: readonly number[], ...dims: number[]) => new Tensor('int64', BigInt64Array.from(numbers, BigInt), dims);
const floats = (...dims: number[]) => new Tensor('float32', new Float32Array(dims.reduce((a, b) => a * b)), dims);
const page = () => floats(1, 2, 64, 16);
let hidden: TypedTensor<'float32'> = floats(1, ids.length, 64);
while (ids.length < 9) {
  const n = ids.length;
  hidden = floats(1, n, 64);
  for (let depth = 0; depth < 3; depth++) {
    const last = depth === 2;
    const inputs: StepInputs = {
      input_ids: integers(ids, 1, n), hidden, depth: integers([depth], 1), position_ids: integers(ids.map((_, i) => i), 1, n),
      past_length: integers([0], 1), page_table: integers([], 1, 0), head_rows: last ? integers([n - 1], 1) : integers([], 0),
      'key_pages.0': page(), 'value_pages.0': page(), 'key_pages.1': page(), 'value_pages.1': page(),
    };
    const outputs = await step.run(inputs, ['hidden.out', 'next_token']);
    hidden = outputs['hidden.out'];
    if (last) ids.push(Number(outputs.next_token.data[0]));
  }
}
await step.release();
const propagate = await loadPropagate(process.argv[2]);
const { 'new_key.1': key } = await propagate.run({ hidden: floats(2, 64), depth: integers([1, 2], 2), position_ids: integers([0, 9], 2) });
if (key.dims.join() !== '2,2,16') throw new Error(key.dims.join());
await propagate.release();
console.log(JSON.stringify(ids.slice(3)));
`;

test('form depth-batched: both graphs are bound, and a loop around the step generates what rtc does', async () => {
  const folder = await project('depth-batched');
  const model = join(root, 'test/models/llama-recursive');
  for (const form of ['depth-batched', 'unrolled'] as const) {
    const compiled = await compile({ model, form, bindings: true, out: join(folder, form) });
    expect(compiled.ok).toBe(true);
  }
  await rename(join(folder, 'depth-batched'), join(folder, 'package'));
  await writeFile(join(folder, 'main.ts'), stepConsumer);
  expect(await check(folder, ['main.ts'])).toBe('');
  const { stdout } = await execa(process.execPath, [join(folder, 'dist', 'main.js'), join(folder, 'package')]);
  expect(JSON.parse(stdout)).toEqual(await generated(join(folder, 'unrolled')));
});

/** Six tokens behind a prompt, as rtc generates them. */
async function generated(folder: string): Promise<readonly number[]> {
  const loaded = await loadPackage(folder);
  if (!loaded.ok) throw new Error('not loaded');
  const stream = generate(loaded.value, [[5, 6, 7]], { maxNewTokens: 6, ignoreEos: true, exitThreshold: 1 });
  if (!stream.ok) throw new Error('refused');
  const tokens: number[] = [];
  for await (const { token } of stream.value) tokens.push(token);
  await loaded.value.close();
  return tokens;
}

describe.each(['unrolled', 'loop'] as const)('form %s', (form) => {
  test('a program with the bindings compiles under strict and generates what rtc does', async () => {
    const folder = await project(form);
    const model = join(root, 'test/models/llama-recursive');
    const compiled = await compile({ model, form, bindings: true, out: join(folder, 'package') });
    expect(compiled.ok).toBe(true);
    await writeFile(join(folder, 'main.ts'), consumer(form));
    expect(await check(folder, ['main.ts'])).toBe('');

    const { stdout } = await execa(process.execPath, [join(folder, 'dist', 'main.js'), join(folder, 'package')]);
    expect(JSON.parse(stdout)).toEqual(await generated(join(folder, 'package')));
  });

  test('what does not fit the graph does not compile', async () => {
    const folder = await project(`${form}-wrong`);
    await mkdir(join(folder, 'package'));
    await writeFile(
      join(folder, 'package', 'bindings.ts'),
      await readFile(join(scratch, form, 'package', 'bindings.ts'), 'utf8'),
    );
    await writeFile(
      join(folder, 'main.ts'),
      `
import { Tensor } from 'onnxruntime-node';
import { emptyModelPast, loadModel } from './package/bindings.ts';
const model = await loadModel();
const ids = new Tensor('int64', BigInt64Array.of(1n), [1, 1]);
await model.run({ input_ids: ids, attention_mask: ids, ...emptyModelPast(1) });
await model.run({ input_ids: new Tensor('float32', Float32Array.of(1), [1, 1]), attention_mask: ids, position_ids: ids, ...emptyModelPast(1) });
await model.run({} as never, ['logit']);
const { logits } = await model.run({} as never, ['present.0.key']);
`,
    );
    const complaints = await check(folder, ['main.ts']);
    for (const line of [6, 7, 8, 9]) expect(complaints).toMatch(new RegExp(`main\\.ts\\(${line},`));
  });
});

describe('the text', () => {
  const source = (): BindingsSource => exampleManifest();

  test('is the same every time, and names every tensor with its shape', async () => {
    const text = await generateBindings(source());
    expect(await generateBindings(source())).toBe(text);
    expect(text).toContain(
      "  /** f32 [batch, 2, past, 8] */\n  readonly 'past_key_values.0.key': TypedTensor<'float32'>;\n",
    );
    expect(text).toMatch(/^\/\/ Written by rtc 0\.1\.0 for "example", form unrolled\./);
    expect(text.endsWith('}\n')).toBe(true);
  });

  test('names that are no identifiers, graphs in folders, and types of every kind compile', async () => {
    const folder = await project('strange');
    const inputs: BindingsSource['graphs'][string]['inputs'] = [
      { name: "it's", dtype: 'i64', dims: [] },
      { name: 'a\\b', dtype: 'bool', dims: ['n'] },
      { name: 'wide', dtype: 'bf16', dims: [2] },
    ];
    const outputs: typeof inputs = [{ name: 'hidden.out', dtype: 'f16', dims: ['rows', 4] }];
    const sources = [
      { 'onnx/one-step.onnx': { inputs, outputs }, 'other.onnx': { inputs: outputs, outputs: inputs } },
      { 'typed.onnx': { inputs: outputs, outputs } },
      { 'untyped.onnx': { inputs: [inputs[2]!], outputs: [] } },
      { 'nothing.onnx': { inputs: [], outputs: [] } },
    ];
    for (const [i, graphs] of sources.entries()) {
      const text = await generateBindings({ ...source(), name: 'a"*/b', graphs });
      await writeFile(join(folder, `bindings-${i}.ts`), text);
    }
    expect(await readFile(join(folder, 'bindings-0.ts'), 'utf8')).toContain("join(folder, 'onnx', 'one-step.onnx')");
    expect(
      await check(
        folder,
        sources.map((_, i) => `bindings-${i}.ts`),
      ),
    ).toBe('');
  });

  test('a cache in bfloat16, which onnxruntime-node lacks, gets types and no helpers', async () => {
    const cache = { name: 'past_key_values.0.key', dtype: 'bf16' as const, dims: ['batch', 2, 'past', 8] };
    const text = await generateBindings({ ...source(), graphs: { 'model.onnx': { inputs: [cache], outputs: [] } } });
    expect(text).toContain("readonly 'past_key_values.0.key': Tensor;");
    expect(text).not.toContain('emptyModelPast');
  });
});
