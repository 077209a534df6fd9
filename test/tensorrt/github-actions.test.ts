import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { program } from '../cli/rtc.ts';
import { installStandIn } from '../support/stand-in-trtexec/install.ts';
import { standInEnv } from '../support/stand-in-trtexec/settings.ts';
import { acceptCommandLine, rtcCommandLines } from './documented-commands.ts';
import { callsIn, tinyModelFolder, writeProgram } from './packages.ts';

const folder = fileURLToPath(new URL('../../examples/github-actions/', import.meta.url));
const text = readFileSync(join(folder, 'tensorrt.yml'), 'utf8');

const step = z.strictObject({
  name: z.string().optional(),
  id: z.string().optional(),
  if: z.string().optional(),
  uses: z.string().optional(),
  run: z.string().optional(),
  with: z.record(z.string(), z.union([z.string(), z.boolean(), z.number()])).optional(),
});
const job = z.strictObject({
  needs: z.string().optional(),
  'runs-on': z.union([z.string(), z.array(z.string())]),
  container: z.strictObject({ image: z.string(), options: z.string() }).optional(),
  concurrency: z.string().optional(),
  steps: z.array(step).min(1),
});
const workflow = z
  .strictObject({
    name: z.string(),
    on: z.record(z.string(), z.unknown()),
    permissions: z.record(z.string(), z.string()),
    jobs: z.strictObject({ graphs: job, engines: job }),
  })
  .parse(parse(text));
const { graphs, engines } = workflow.jobs;
const steps = [...graphs.steps, ...engines.steps];

describe('the workflow', () => {
  test('has two jobs: graphs anywhere, engines behind it, in a container with a GPU', () => {
    expect(graphs).toMatchObject({ 'runs-on': 'ubuntu-latest' });
    expect(engines).toMatchObject({ needs: 'graphs', container: { options: '--gpus all' } });
    expect(engines.container!.image).toMatch(/^nvcr\.io\/nvidia\/tensorrt:\d\d\.\d\d-py3$/);
  });

  test('every step runs something or uses an action, by its major version', () => {
    for (const { run, uses } of steps) {
      expect([run, uses].filter((each) => each !== undefined).length).toBe(1);
      if (uses !== undefined) expect(uses).toMatch(/^actions\/[a-z-]+(\/[a-z]+)?@v\d+$/);
    }
  });

  test('what one job uploads, the other downloads', () => {
    const used = (job: typeof graphs, action: string) => job.steps.filter(({ uses }) => uses?.startsWith(action));
    expect(used(graphs, 'actions/upload-artifact')[0]!.with).toMatchObject({ name: 'package', path: 'package' });
    expect(used(engines, 'actions/download-artifact')[0]!.with).toMatchObject({ name: 'package', path: 'package' });
  });

  test('steps only speak of outputs that earlier steps have', () => {
    const outputs: Readonly<Record<string, readonly string[]>> = { machine: ['name'], timings: ['cache-primary-key'] };
    let known = new Set<string>();
    for (const { steps: own } of [graphs, engines]) {
      known = new Set();
      for (const each of own) {
        for (const [, id, name] of JSON.stringify(each).matchAll(/steps\.([\w-]+)\.outputs\.([\w-]+)/g)) {
          expect(known).toContain(id);
          expect(outputs[id!]).toContain(name);
        }
        if (each.id !== undefined) known.add(each.id);
      }
    }
  });

  test('engines come back for the very same package only, timings for any', () => {
    const caches = engines.steps.filter(({ uses }) => /^actions\/cache(\/restore)?@/.test(uses ?? ''));
    const [plans, timings] = caches.map((each) => each.with!);
    expect(plans).not.toHaveProperty('restore-keys');
    expect(plans!.key).toContain("hashFiles('package/**')");
    expect(String(timings!.key).startsWith(String(timings!['restore-keys']).trim())).toBe(true);
  });
});

const readme = readFileSync(join(folder, 'README.md'), 'utf8');

test.each([
  ...steps.flatMap(({ run = '' }) => rtcCommandLines(run)),
  ...rtcCommandLines(readme),
])('rtc takes this command line: %s', async (line) => {
  await acceptCommandLine(line);
});

test('there are command lines in both files', () => {
  expect(steps.flatMap(({ run = '' }) => rtcCommandLines(run)).length).toBe(3);
  expect(rtcCommandLines(readme).length).toBe(4);
});

describe('its steps do what they say, with a stand-in for trtexec', () => {
  let scratch: string;
  let env: NodeJS.ProcessEnv;
  let calls: string;
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'rtc-workflow-'));
    const bin = join(scratch, 'bin');
    installStandIn(bin);
    calls = join(scratch, 'calls');
    writeProgram(
      join(bin, 'nvidia-smi'),
      `case "$*" in
*=compute_cap,driver_version,name*) echo '8.9, 580.1, NVIDIA L4' ;;
*=name,compute_cap,driver_version*) echo 'NVIDIA L4, 8.9, 580.1' ;;
*=name,compute_cap*) echo 'NVIDIA L4, 8.9' ;;
*) exit 1 ;;
esac`,
    );
    writeProgram(join(bin, 'npx'), `shift\nexec '${process.execPath}' '${program}' "$@"`);
    const told = standInEnv({ version: '11.1.0', gpu: 'NVIDIA L4', computeCapability: '8.9', calls });
    env = { PATH: `${bin}:/usr/bin:/bin`, GITHUB_OUTPUT: join(scratch, 'outputs'), ...told };
  });
  afterAll(() => rmSync(scratch, { recursive: true }));

  /** Runs what is named as GitHub does it: in a shell that ends at the first failure. */
  const runStep = (name: string, cwd: string) => {
    const found = steps.find((each) => each.name === name);
    return execa('/bin/sh', ['-e', '-c', found!.run!], { cwd, env, extendEnv: false, reject: false });
  };
  const succeed = async (name: string, cwd: string) => {
    const { exitCode, stdout, stderr } = await runStep(name, cwd);
    expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
    return stdout;
  };
  const builds = () => callsIn(calls).filter((call) => call.some((word) => word.startsWith('--onnx='))).length;

  test('graphs on one machine, engines on another, and no build where they were kept', async () => {
    const plain = join(scratch, 'plain');
    mkdirSync(plain);
    cpSync(tinyModelFolder(scratch), join(plain, 'model'), { recursive: true });
    await succeed('Compile', plain);
    await succeed('Verify the graphs', plain);
    expect(readdirSync(join(plain, 'package')).filter((file) => file.endsWith('.plan'))).toEqual([]);

    const gpu = join(scratch, 'gpu');
    cpSync(join(plain, 'package'), join(gpu, 'package'), { recursive: true });
    await succeed('Name the machine', gpu);
    expect(readFileSync(join(scratch, 'outputs'), 'utf8')).toBe('name=NVIDIA-L4-8.9-v110100\n');
    await succeed('Build', gpu);
    expect(builds()).toBe(2);
    await succeed('Verify the engines', gpu);

    // The cache brings back what its path names.
    const { path } = engines.steps.find(({ name }) => name === 'Engines that were built before')!.with!;
    const patterns = String(path).trim().split('\n');
    const kept = (file: string) =>
      patterns.some((pattern) => new RegExp(`^${pattern.replaceAll('.', '\\.').replace('*', '[^/]*')}$`).test(file));
    const again = join(scratch, 'again');
    cpSync(join(plain, 'package'), join(again, 'package'), { recursive: true });
    for (const file of readdirSync(join(gpu, 'package'))) {
      if (kept(`package/${file}`)) cpSync(join(gpu, 'package', file), join(again, 'package', file));
    }
    writeFileSync(calls, '');
    expect(await succeed('Build', again)).toContain('step.all.plan is there already');
    expect(readFileSync(calls, 'utf8')).not.toContain('--onnx=');
  });

  test('a machine that is none fails before anything is named after it', async () => {
    writeFileSync(join(scratch, 'outputs'), '');
    writeProgram(join(scratch, 'bin', 'nvidia-smi'), 'exit 9');
    const { exitCode } = await runStep('Name the machine', scratch);
    expect([exitCode === 0, readFileSync(join(scratch, 'outputs'), 'utf8')]).toEqual([false, '']);
  });
});
