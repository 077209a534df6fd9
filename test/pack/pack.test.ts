import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { strictCheck } from './strict-check.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const model = join(root, 'examples/kjv-relaxed');
const noNetwork = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|E\w*TIMEDOUT|ENOTCACHED)\b/;

let scratch: string;
let packed: { readonly filename: string; readonly files: readonly string[] };
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-pack-'));
  packed = await pack(scratch);
});
afterAll(() => rm(scratch, { recursive: true }));

/** npm as if nobody had started these tests with it: it would go on working in this checkout. */
function npm(args: readonly string[], cwd: string) {
  const env = { npm_config_local_prefix: undefined, npm_config_ignore_scripts: undefined } as object;
  return execa('npm', args, { cwd, env: env as NodeJS.ProcessEnv, reject: false, timeout: 90_000 });
}

/** Packs dist as it was built for these tests. */
async function pack(into: string): Promise<typeof packed> {
  const { stdout, stderr, exitCode } = await npm(
    ['pack', '--json', '--ignore-scripts', '--pack-destination', into],
    root,
  );
  expect(exitCode, stderr).toBe(0);
  // npm 10 and 11 print a list; the next one prints an object by name.
  const [first] = Object.values(
    JSON.parse(stdout) as Record<string, { readonly filename: string; readonly files: readonly { path: string }[] }>,
  );
  return { filename: join(into, first!.filename), files: first!.files.map(({ path }) => path) };
}

test('the tarball holds what is needed to run, and no more', async () => {
  const { files } = packed;
  for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'bin/rtc.js']) {
    expect(files).toContain(name);
  }
  // Nothing imports it: an engine starts its thread there.
  expect(files).toContain('dist/runtime/engine/worker.js');
  expect(files.filter((path) => path.startsWith('schema/')).sort()).toEqual([
    'schema/model.schema.json',
    'schema/rtc-package.schema.json',
    'schema/rtc-simulation.schema.json',
  ]);
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { exports: object };
  const entries = Object.values(exports).flatMap((entry) => (typeof entry === 'string' ? [] : Object.values(entry)));
  expect(entries.length).toBe(4);
  for (const entry of entries) expect(files).toContain((entry as string).slice('./'.length));

  const folders = new Set(files.map((path) => path.split('/').slice(0, -1).join('/')));
  // The folders of the repository, not a room of the compiler that has the name of one.
  expect([...folders].filter((folder) => /^(dist\/)?(test|bench|examples|node_modules)(\/|$)/.test(folder))).toEqual(
    [],
  );
  expect(files.filter((path) => /\.(test\.\w+|tsbuildinfo|safetensors|onnx)$/.test(path))).toEqual([]);
  expect(files.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))).toEqual([]);
});

/** A program such as a user writes. */
const program = `
import { compile, type CompileOptions, type Diagnostic, formatDiagnostics } from 'rtc';
import { type Engine, type EngineLimits, type GeneratedToken, generate, loadPackage, openEngine } from 'rtc/runtime';

async function compiled(form: NonNullable<CompileOptions['form']>): Promise<string> {
  const result = await compile({ model: process.argv[2]!, form, out: \`kjv-\${form}\` });
  if (!result.ok) throw new Error(formatDiagnostics(result.diagnostics));
  return result.value.folder!;
}

async function generated(folder: string): Promise<readonly number[]> {
  const loaded = await loadPackage(folder);
  if (!loaded.ok) throw new Error(formatDiagnostics(loaded.diagnostics));
  const prompt: readonly number[] = loaded.value.tokenizer!.encode('In the beginning');
  const stream = generate(loaded.value, [prompt], { maxNewTokens: 8, ignoreEos: true, exitThreshold: 1 });
  if (!stream.ok) throw new Error(formatDiagnostics(stream.diagnostics));
  const tokens: number[] = [];
  for await (const { token } of stream.value satisfies AsyncIterable<GeneratedToken>) tokens.push(token);
  await loaded.value.close();
  return tokens;
}

/** Three tokens of one request, which is cancelled then, and eight of another. */
async function served(folder: string): Promise<{ readonly few: number; readonly tokens: readonly number[] }> {
  const opened = await openEngine(folder, { maxRows: 4, kvPolicy: 'propagate', pageBytes: 64 * 2 ** 20 });
  if (!opened.ok) throw new Error(formatDiagnostics(opened.diagnostics));
  const engine: Engine = opened.value;
  const limits: EngineLimits = engine.limits;
  if (limits.pageBytes > 64 * 2 ** 20) throw new Error('more memory than allowed');
  const prompt = engine.tokenizer!.encode('In the beginning');
  const rule = { exit: { kind: 'threshold', threshold: 1 }, ignoreEos: true } as const;
  const long = engine.submit({ prompt, maxNewTokens: 300, ...rule });
  const short = engine.submit({ prompt, maxNewTokens: 8, ...rule });
  if (!long.ok || !short.ok) throw new Error('refused');
  let few = 0;
  for await (const { exit } of long.value) if (exit === 3 && ++few === 3) break;
  const { tokens } = await short.value.done;
  if ((await long.value.done).finished !== 'cancelled') throw new Error('it went on');
  await engine.close();
  return { few, tokens };
}

const loop = await generated(await compiled('loop'));
const depthBatched = await compiled('depth-batched');
const tokens = await generated(depthBatched);
const missing = await compile({ model: 'nowhere' });
const problems: readonly Diagnostic[] = missing.diagnostics;
console.log(JSON.stringify({
  loop, tokens, served: await served(depthBatched), missing: missing.ok, problems: problems.map(({ severity }) => severity),
}));
`;

describe('installed elsewhere', () => {
  let project: string;
  let unreachable: string | undefined;
  beforeAll(async () => {
    project = join(scratch, 'project');
    await mkdir(project);
    await writeFile(join(project, 'package.json'), '{ "name": "elsewhere", "type": "module", "private": true }');
    const args = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    // Without network npm would go on trying for minutes.
    const patience = ['--fetch-retries=1', '--fetch-retry-mintimeout=500', '--fetch-retry-maxtimeout=500'];
    const { exitCode, stderr, timedOut } = await npm([...args, ...patience, packed.filename], project);
    if (timedOut) {
      unreachable = 'npm install did not come to an end';
      return;
    }
    if (exitCode !== 0) {
      [unreachable] = noNetwork.exec(stderr) ?? expect.fail(`npm install failed:\n${stderr}`);
      return;
    }
    await mkdir(join(project, 'node_modules/@types'), { recursive: true });
    // The peer that is optional, and large; and Node's types, of which protobufjs 6 brings the newest.
    for (const name of ['onnxruntime-node', '@types/node']) {
      const place = join(project, 'node_modules', name);
      await rm(place, { recursive: true, force: true });
      await symlink(join(root, 'node_modules', name), place);
    }
  });

  const needsRegistry = ({ skip }: TestContext): void => {
    if (unreachable !== undefined) skip(`the npm registry cannot be reached: ${unreachable}`);
  };

  /** Starts what npm installed: not a link to this checkout. */
  function rtc(...args: readonly string[]) {
    const env = { FORCE_COLOR: undefined, GITHUB_ACTIONS: undefined, RTC_DEBUG: undefined } as object;
    return execa('npx', ['--no-install', 'rtc', ...args], {
      cwd: project,
      env: { ...env, npm_config_local_prefix: undefined } as NodeJS.ProcessEnv,
    });
  }

  test('rtc compiles a model as it does here, and inspects the package', async (context) => {
    needsRegistry(context);
    const { stdout } = await rtc('compile', model, '--out', 'kjv');
    expect(stdout).toMatch(/compiled \.\/kjv$/);
    const manifest = JSON.parse(await readFile(join(project, 'kjv/rtc.json'), 'utf8')) as {
      files: object;
      graphs: object;
    };
    expect(Object.keys(manifest.files)).toContain('model.safetensors');
    for (const name of Object.keys(manifest.files)) {
      expect((await readFile(join(project, 'kjv', name))).length, name).toBeGreaterThan(0);
    }
    // Installed, onnx-proto has an older protobufjs.
    await execa(process.execPath, [join(root, 'bin/rtc.js'), 'compile', model, '--out', join(scratch, 'here')]);
    for (const name of [...Object.keys(manifest.graphs), 'rtc.json']) {
      const [there, here] = await Promise.all(
        [join(project, 'kjv', name), join(scratch, 'here', name)].map((p) => readFile(p)),
      );
      expect(there!.equals(here!), name).toBe(true);
    }
    expect((await rtc('inspect', 'kjv')).stdout).toContain('kjv-relaxed');
  });

  test('a strict TypeScript program compiles and generates', async (context) => {
    needsRegistry(context);
    await writeFile(join(project, 'program.ts'), program);
    expect(await strictCheck(project, ['program.ts'])).toBe('');
    const { stdout } = await execa(process.execPath, ['program.js', model], { cwd: project });
    const { loop, tokens, served, missing, problems } = JSON.parse(stdout) as Record<string, unknown>;
    expect(loop).toHaveLength(8);
    expect(tokens).toEqual(loop);
    expect(served).toEqual({ few: 3, tokens: loop });
    expect({ missing, problems }).toEqual({ missing: false, problems: ['error'] });
  });
});
