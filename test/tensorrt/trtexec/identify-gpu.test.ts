import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { identifyGpu } from '../../../targets/tensorrt/trtexec/identify-gpu.ts';
import { waitUntilGone } from './wait-until-gone.ts';

let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-gpu-'));
});
afterAll(() => rm(scratch, { recursive: true }));

/** A program in place of nvidia-smi, found on PATH, that writes its arguments down. */
async function identify(script: string, env: NodeJS.ProcessEnv = {}) {
  const path = join(scratch, 'nvidia-smi');
  await rm(join(scratch, 'args'), { force: true });
  await writeFile(path, `#!/bin/sh\necho "$*" >> '${scratch}/args'\n${script}\n`);
  await chmod(path, 0o755);
  const gpu = await identifyGpu({ env: { PATH: `${scratch}:/usr/bin:/bin`, ...env }, timeoutMs: 400 });
  return { gpu, args: (await readFile(join(scratch, 'args'), 'utf8').catch(() => '')).trimEnd().split('\n') };
}

const query = '--query-gpu=compute_cap,driver_version,name --format=csv,noheader';

test('the first GPU, whatever its name holds', async () => {
  const { gpu, args } = await identify(
    "echo '9.0, 570.86.10, NVIDIA H100, 80GB HBM3'; echo '8.9, 570.86.10, NVIDIA L4'",
  );
  expect(gpu).toEqual({ gpu: 'NVIDIA H100, 80GB HBM3', computeCapability: '9.0', driver: '570.86.10' });
  expect(args).toEqual([query]);
});

test.each([
  ['1,0', `--id=1 ${query}`],
  [' GPU-1a2b ,2', `--id=GPU-1a2b ${query}`],
  ['', query],
])('CUDA_VISIBLE_DEVICES=%j', async (visible, expected) => {
  const { gpu, args } = await identify("echo '8.9, 550.1, NVIDIA L4'", { CUDA_VISIBLE_DEVICES: visible });
  expect(gpu?.computeCapability).toBe('8.9');
  expect(args).toEqual([expected]);
});

test('hidden GPUs are none, and nobody is asked', async () => {
  expect(await identify('echo 8.9, 550.1, NVIDIA L4', { CUDA_VISIBLE_DEVICES: '-1' })).toEqual({
    gpu: undefined,
    args: [''],
  });
});

test('an nvidia-smi that has no compute_cap yet', async () => {
  const script = `case "$*" in *compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2;; esac; echo '450.80.02, Tesla T4'`;
  expect((await identify(script)).gpu).toEqual({ gpu: 'Tesla T4', computeCapability: undefined, driver: '450.80.02' });
});

test.each([
  ['no driver', 'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9'],
  ['no GPU', 'echo No devices were found; exit 6'],
  ['nothing said', 'exit 0'],
  ['fields without a value', "echo '[N/A], [N/A], [N/A]'"],
  ['a crash', 'kill -SEGV $$'],
  ['no answer', 'echo $$ > "$(dirname "$0")/hang"; exec sleep 30'],
])('%s: no GPU is known', async (name, script) => {
  expect((await identify(script)).gpu).toBeUndefined();
  if (name === 'no answer') {
    const file = join(scratch, 'hang');
    await waitUntilGone([Number(await readFile(file, 'utf8'))]);
  }
});

test('a machine without nvidia-smi', async () => {
  expect(await identifyGpu({ env: { PATH: '/no/such/folder' } })).toBeUndefined();
});
