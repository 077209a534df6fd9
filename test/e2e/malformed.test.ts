import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import { readPackage } from '../../files/package.ts';
import { rtc } from '../cli/rtc.ts';
import type { Malformed } from '../support/malformed/change.ts';
import { malformedConfig } from '../support/malformed/config.ts';
import { malformedExits } from '../support/malformed/exits.ts';
import { malformedIndexFile } from '../support/malformed/index-file.ts';
import { malformedJson } from '../support/malformed/json.ts';
import { malformedLora } from '../support/malformed/lora.ts';
import { malformedPaths } from '../support/malformed/paths.ts';
import { malformedPlaces } from '../support/malformed/place.ts';
import { malformedRotary } from '../support/malformed/rotary.ts';
import { malformedStructure } from '../support/malformed/structure.ts';
import { malformedWeights } from '../support/malformed/weights.ts';
import { malformed } from '../support/malformed.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';
import { filesBelow } from './files-below.ts';
import { ordinaryUser } from './ordinary-user.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rtc-malformed-'));
  // Other users may look in.
  chmodSync(root, 0o755);
});
afterAll(() => {
  // What may not be looked into cannot be removed either, but by root.
  for (const name of readdirSync(root)) {
    const model = join(root, name, 'model');
    if (existsSync(model)) chmodSync(model, 0o755);
  }
  rmSync(root, { recursive: true });
});

let made = 0;
/** A folder of its own for each test. */
function ownFolder(): string {
  const folder = join(root, String(made++));
  mkdirSync(folder);
  return folder;
}

const isRoot = process.getuid?.() === 0;
const trace = /\n\s+at /;

describe('compile() refuses it, and leaves everything as it was', () => {
  for (const { title, make, code, says, permissions } of malformed) {
    test.skipIf(permissions === true && isRoot)(title, async () => {
      const folder = ownFolder();
      const model = make(join(folder, 'model'));
      const before = filesBelow(folder);
      for (const options of [{}, { form: 'loop', dialect: 'ort', precision: 'f16', writeWeights: true }] as const) {
        const result = await compile({ model, out: join(folder, 'out'), ...options });
        const told = JSON.stringify(result.diagnostics, undefined, 1);
        expect(result.ok, told).toBe(false);
        expect(
          result.diagnostics.some((d) => d.code === code && says.every((part) => d.message.includes(part))),
          told,
        ).toBe(true);
      }
      expect(filesBelow(folder)).toEqual(before);
    });
  }
});

const themes: Readonly<Record<string, readonly Malformed[]>> = {
  places: malformedPlaces,
  JSON: malformedJson,
  structure: malformedStructure,
  exits: malformedExits,
  LoRA: malformedLora,
  paths: malformedPaths,
  'index files': malformedIndexFile,
  weights: malformedWeights,
  configs: malformedConfig,
  rotary: malformedRotary,
};

describe('rtc compile ends with exit code 1, diagnostics and no stack trace', () => {
  test('the themes are the whole list', () => {
    expect(Object.values(themes).flat()).toHaveLength(malformed.length);
  });

  for (const [theme, list] of Object.entries(themes)) {
    const able = list.filter(({ permissions }) => permissions !== true);
    const sample = [0, 1, 2].map((third) => able[Math.floor(((third + 0.5) * able.length) / 3)]!);
    test.each(sample.map((one) => [one.title, one] as const))(`${theme}: %s`, async (_, { make, code }) => {
      const folder = ownFolder();
      const model = make(join(folder, 'model'));
      const before = filesBelow(folder);
      const { exitCode, stdout, stderr } = await rtc(['compile', model, '--out', 'out'], { cwd: folder });
      expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 1, stdout: '' });
      expect(stderr).toContain(`error ${code} `);
      expect(stderr).not.toMatch(trace);
      expect(filesBelow(folder)).toEqual(before);
    });
  }

  test('with --json everything is in one document', async () => {
    const folder = ownFolder();
    const { make, code } = malformedWeights[0]!;
    const { exitCode, stdout, stderr } = await rtc(['compile', make(join(folder, 'model')), '--json'], { cwd: folder });
    expect(exitCode).toBe(1);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ version: 1, ok: false });
    expect(document.diagnostics).toContainEqual(expect.objectContaining({ severity: 'error', code }));
    expect(stdout + stderr).not.toMatch(trace);
  });

  test('in GitHub Actions the file and line are annotated', async () => {
    const folder = ownFolder();
    const { make } = malformedExits[0]!;
    const { stdout, stderr } = await rtc(['compile', make(join(folder, 'model'))], {
      cwd: folder,
      env: { GITHUB_ACTIONS: 'true' },
    });
    expect(stdout + stderr).toMatch(/^::error file=[^\n]*model\.json,line=\d+/m);
  });
});

describe('what a user may not read', () => {
  const unreadable = malformed.filter(({ permissions }) => permissions === true);

  test.for(unreadable)('$title', async ({ make, code, says }, { skip }) => {
    const uid = await ordinaryUser();
    if (typeof uid === 'string') return skip(uid);
    const folder = ownFolder();
    const model = make(join(folder, 'model'));
    const place = join(folder, 'place');
    mkdirSync(place);
    chmodSync(place, 0o777);
    const before = filesBelow(folder);
    const { exitCode, stdout, stderr } = await rtc(['compile', model, '--out', join(place, 'out')], uid);
    expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toContain(`error ${code} `);
    for (const part of says) expect(stderr).toContain(part);
    expect(stderr).not.toMatch(trace);
    expect(filesBelow(folder)).toEqual(before);
  });
});

describe('a model with random damage', () => {
  const options: Partial<TinyModelOptions> = { ranks: [1, 2], exits: { after: [1] }, shards: 2 };
  const names = ['model.json', 'config.json', 'model.safetensors.index.json', 'model-1-of-2.safetensors'];

  /** Bytes overwritten, mostly near the start, where headers are; then perhaps cut off, or longer than it was. */
  const damage = fc.record({
    name: fc.constantFrom(...names),
    form: fc.constantFrom('depth-batched' as const, 'loop' as const, 'unrolled' as const),
    overwritten: fc.array(
      fc.record({
        at: fc.oneof({ weight: 3, arbitrary: fc.nat(1500) }, { weight: 1, arbitrary: fc.nat(200_000) }),
        bytes: fc.oneof(
          fc.uint8Array({ minLength: 1, maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
          // What is at home there already makes it further in.
          fc
            .constantFrom('0', '9', '-1', '"', '{', '}', '[', ',', ':', 'null', '1e9', '\\u0000', 'F16')
            .map(Buffer.from),
        ),
      }),
      { maxLength: 3 },
    ),
    size: fc.option(fc.double({ min: 0, max: 1.5, noNaN: true }), { freq: 3, nil: undefined }),
  });

  test('is compiled or refused, and a refusal leaves nothing', { timeout: 120_000 }, async () => {
    const folder = ownFolder();
    const model = join(folder, 'model');
    const out = join(folder, 'out');
    let refused = 0;
    let compiled = 0;
    await fc.assert(
      fc.asyncProperty(damage, async ({ name, form, overwritten, size }) => {
        rmSync(folder, { recursive: true });
        makeTinyModel(model, options);
        const path = join(model, name);
        const bytes = readFileSync(path);
        for (const one of overwritten) one.bytes.copy(bytes, one.at % bytes.length);
        writeFileSync(path, bytes);
        if (size !== undefined) truncateSync(path, Math.floor(size * bytes.length));
        const before = filesBelow(folder);
        const result = await compile({ model, out, form });
        if (result.ok) {
          compiled++;
          expect((await readPackage(out)).diagnostics).toEqual([]);
          return;
        }
        refused++;
        expect(result.diagnostics.some(({ severity }) => severity === 'error')).toBe(true);
        for (const { message } of result.diagnostics) expect(message).not.toMatch(/undefined|\[object|\n/);
        expect(filesBelow(folder)).toEqual(before);
      }),
      { numRuns: Number(process.env.RTC_RANDOM_DAMAGES ?? 250), seed: Number(process.env.RTC_RANDOM_SEED ?? 2026) },
    );
    // Damage that is always noticed, or never, tells nothing.
    expect(Math.min(refused, compiled)).toBeGreaterThan(20);
  });
});
