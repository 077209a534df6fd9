import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PlanMachine, planFileProblems, planProblems } from '../../compiler/tensorrt/plans/plan-problems.ts';
import { readPlans } from '../../compiler/tensorrt/plans/read-plans.ts';
import { checkEngines } from '../../files/check-engines.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { type PlanStamp, stampName } from '../../files/plan-stamp.ts';
import { installStandIn } from '../support/stand-in-trtexec/install.ts';
import { standInEnv } from '../support/stand-in-trtexec/settings.ts';
import { compiled, copyOf, emptyEnv, opened, tinyModelFolder } from './packages.ts';

let scratch: string;
let template: string;
let manifest: PackageManifest;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-stamps-'));
  template = join(scratch, 'template');
  const env = { ...emptyEnv, TRTEXEC: installStandIn(join(scratch, 'bin')), ...standInEnv({ version: '10.16.0' }) };
  await compiled({ model: tinyModelFolder(scratch), out: template, env });
  ({ manifest } = await opened(template));
});
afterAll(() => rmSync(scratch, { recursive: true }));

const fresh = (name: string) => copyOf(template, join(scratch, name));
const codes = (diagnostics: readonly { readonly code: string }[]) => diagnostics.map(({ code }) => code);

describe('plans of a package', () => {
  test('are those of rtc.json, in the order of the engines', async () => {
    const read = await readPlans(template, { ...manifest, plans: [...manifest.plans!].reverse() });
    expect(read).toEqual({ ok: true, value: manifest.plans, diagnostics: [] });
  });

  test('are none for a package that is not meant for engines', async () => {
    const { tensorrt: _, plans: __, ...plain } = manifest;
    expect(await readPlans(template, plain)).toEqual({ ok: true, value: [], diagnostics: [] });
  });

  test('are those that build.sh left, where it built some', async () => {
    const folder = fresh('beside');
    const [step] = manifest.plans!;
    const stamp: PlanStamp = { ...step!, gpu: 'another', tensorrt: '10.16.1' };
    writeFileSync(join(folder, stampName(stamp.file)), JSON.stringify(stamp));
    expect(await readPlans(folder, manifest)).toEqual({
      ok: true,
      value: [stamp, manifest.plans![1]],
      diagnostics: [],
    });
    // All that is needed where rtc.json lists none.
    expect(await readPlans(folder, { ...manifest, plans: [] })).toMatchObject({ ok: true, value: [stamp] });
  });

  test.each<[string, (folder: string) => void, string]>([
    ['a plan that is missing', (folder) => rmSync(join(folder, 'step.all.plan')), 'missing-file'],
    ['a plan that is cut off', (folder) => truncateSync(join(folder, 'step.all.plan'), 10), 'truncated-file'],
    ['a plan that grew', (folder) => appendFileSync(join(folder, 'step.all.plan'), '!'), 'altered-file'],
    ['a stamp that is no JSON', (folder) => writeFileSync(join(folder, 'step.all.plan.json'), '{'), 'invalid-json'],
    ['a stamp with half of it', (folder) => writeFileSync(join(folder, 'step.all.plan.json'), '{}'), 'missing-key'],
    [
      'a stamp of another engine',
      (folder) => writeFileSync(join(folder, 'step.all.plan.json'), JSON.stringify(manifest.plans![1])),
      'invalid-stamp',
    ],
  ])('%s is told', async (name, damage, code) => {
    const folder = fresh(name.replaceAll(' ', '-'));
    damage(folder);
    const read = await readPlans(folder, manifest);
    expect(read.ok).toBe(false);
    expect(new Set(codes(read.diagnostics))).toEqual(new Set([code]));
    expect(read.diagnostics[0]!.location?.file).toContain('step.all.plan');
  });
});

describe('an engine fits', () => {
  const built = { tensorrt: '10.16.0', gpu: 'NVIDIA H100', computeCapability: '9.0' } as const;
  const machine = (other: PlanMachine): PlanMachine => ({ ...built, ...other });
  const stamped = (other: Partial<PlanStamp> = {}): PlanStamp => ({ ...manifest.plans![0]!, ...built, ...other });
  const compatible = { versionCompatible: true } as const;
  const ampere = { hardwareCompatibility: 'ampere+' } as const;
  const same = { hardwareCompatibility: 'sameComputeCapability' } as const;
  test.each<[string, Partial<PlanStamp>, PlanMachine, readonly string[]]>([
    ['the machine that built it', {}, machine({}), []],
    ['a machine of which nothing is known', {}, {}, []],
    ['not another patch', {}, machine({ tensorrt: '10.16.1' }), ['error plan-version']],
    ['a patch that nobody names', {}, machine({ tensorrt: '10.16' }), []],
    ['not another version', {}, machine({ tensorrt: '11.0.0' }), ['error plan-version']],
    ['a later version when compatible', compatible, machine({ tensorrt: '10.17.0' }), []],
    ['never another major one', compatible, machine({ tensorrt: '11.0.0' }), ['error plan-version']],
    ['not another capability', {}, machine({ gpu: 'A10', computeCapability: '8.6' }), ['error plan-gpu']],
    ['not well another GPU of the same', {}, machine({ gpu: 'NVIDIA H200' }), ['warning plan-gpu']],
    ['another GPU of the same, so built', same, machine({ gpu: 'NVIDIA H200' }), []],
    ['and no other', same, machine({ gpu: 'A10', computeCapability: '8.6' }), ['error plan-gpu']],
    ['Ampere and later', ampere, machine({ gpu: 'NVIDIA B200', computeCapability: '10.0' }), []],
    ['not Turing', ampere, machine({ gpu: 'T4', computeCapability: '7.5' }), ['error plan-gpu']],
    ['as far as is known', { computeCapability: 'unknown' }, machine({ computeCapability: '7.5' }), []],
    [
      'neither version nor GPU',
      {},
      { tensorrt: '11.1.0', gpu: 'A10', computeCapability: '8.6' },
      ['error plan-version', 'error plan-gpu'],
    ],
  ])('%s', (_, other, here, expected) => {
    const problems = planProblems(stamped(other), here, 'package/step.all.plan');
    expect(problems.map(({ severity, code }) => `${severity} ${code}`)).toEqual(expected);
    for (const { message, hint } of problems) {
      expect(message).toContain('"package/step.all.plan" was built');
      expect(hint).toContain('build.sh');
    }
  });

  test('only as the file that was built, from the graph and the weights that the package has', async () => {
    const [stamp] = manifest.plans!;
    expect(await planFileProblems(template, manifest, stamp!)).toEqual([]);
    const other = { ...stamp!, graphSha256: '0'.repeat(64) };
    expect(codes(await planFileProblems(template, manifest, other))).toEqual(['plan-graph']);
    const without = { ...stamp!, weights: {} };
    expect(codes(await planFileProblems(template, manifest, without))).toEqual(['plan-weights']);
    const folder = fresh('one-bit');
    // As many bytes as there were, and others.
    const weights = join(folder, 'model.safetensors');
    const size = readFileSync(weights).length;
    writeFileSync(weights, 'x'.repeat(size));
    const [changed, ...more] = await planFileProblems(folder, manifest, stamp!);
    expect(changed).toMatchObject({ severity: 'error', code: 'plan-weights' });
    expect(changed!.message).toContain('built from another "model.safetensors" than the package has');
    expect(more).toEqual([]);
    copyFileSync(join(template, 'model.safetensors'), weights);
    // As long as it was.
    writeFileSync(join(folder, 'step.all.plan'), 'x'.repeat(stamp!.size));
    expect(codes(await planFileProblems(folder, manifest, stamp!))).toEqual(['altered-file']);
    rmSync(join(folder, 'step.all.plan'));
    expect(codes(await planFileProblems(folder, manifest, stamp!))).toEqual(['missing-file']);
  });
});

describe('rtc.json is held against itself', () => {
  type Writable<T> = T extends object ? { -readonly [K in keyof T]: Writable<T[K]> } : T;
  const edited = (edit: (copy: Writable<PackageManifest>) => void) => {
    const copy = structuredClone(manifest) as Writable<PackageManifest>;
    edit(copy);
    return checkEngines(copy).map(({ path, message }) => `${path.join('.')}: ${message}`);
  };
  const decode = (copy: Writable<PackageManifest>) => copy.tensorrt!.engines[0]!.profiles[0]!.inputs;

  test('and all is well with what was written', () => {
    expect(checkEngines(manifest)).toEqual([]);
  });

  test.each<[string, (copy: Writable<PackageManifest>) => void, RegExp]>([
    ['no word on engines', (copy) => void delete copy.tensorrt, /^target: A package for tensorrt says which/],
    [
      'two of a name',
      ({ tensorrt }) => void tensorrt!.engines.push(tensorrt!.engines[0]!),
      /^tensorrt\.engines\.2\.plan/,
    ],
    [
      'a graph that is not there',
      ({ tensorrt }) => void Object.assign(tensorrt!.engines[0]!, { graph: 'no.onnx' }),
      /no graph "no\.onnx"/,
    ],
    [
      'sizes of no input',
      (copy) => void Object.assign(decode(copy), { no: decode(copy).depth }),
      /"no", which is no input/,
    ],
    ['sizes left out', (copy) => void delete decode(copy).depth, /does not say how large "depth" is/],
    ['a size too many', (copy) => void decode(copy).depth!.opt.push(1), /does not have 1 sizes of "depth"/],
    ['sizes that fall', (copy) => void decode(copy).depth!.opt.fill(1000), /do not rise from min over opt to max/],
    ['an engine listed twice', ({ plans }) => void plans!.push(plans![0]!), /^plans\.2\.file: .* is listed twice/],
    [
      'an engine unheard of',
      ({ plans }) => void Object.assign(plans![0]!, { file: 'other.plan' }),
      /No engine is to be called/,
    ],
    [
      'an engine of another graph',
      ({ plans }) => void Object.assign(plans![0]!, { graph: 'propagate.onnx' }),
      /is built from "step\.onnx"/,
    ],
    [
      'an engine of an earlier graph',
      ({ plans }) => void Object.assign(plans![0]!, { graphSha256: '0'.repeat(64) }),
      /^plans\.0\.graphSha256: .* another "step\.onnx"/,
    ],
    [
      'an engine of weights unheard of',
      ({ plans }) => void Object.assign(plans![0]!, { weights: { 'other.safetensors': '0'.repeat(64) } }),
      /^plans\.0\.weights\.other\.safetensors: .* from "other\.safetensors", which is no file of the package/,
    ],
    [
      'an engine of earlier weights',
      ({ plans, files }) => {
        files['weights.bin'] = { ...files['step.onnx']!, sha256: '1'.repeat(64) };
        plans![0]!.weights = { 'weights.bin': '0'.repeat(64) };
      },
      /^plans\.0\.weights\.weights\.bin: .* built from another "weights\.bin"/,
    ],
  ])('%s', (_, edit, expected) => {
    const said = edited(edit);
    expect(said.join('\n')).toMatch(expected);
  });
});
