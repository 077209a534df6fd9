import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EngineRun } from '../../compiler/tensorrt/run/engine-call.ts';
import { headShare } from '../../compiler/tensorrt/time/head-share.ts';
import { type EngineTimes, timeEngines } from '../../compiler/tensorrt/time/time-engines.ts';
import { success } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { makeTensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import { timeAt } from '../../simulate/time-at.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { compiled, opened } from './packages.ts';

let base: string;
let manifest: PackageManifest;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'rtc-test-'));
  const model = join(base, 'model');
  makeTinyModel(model, { block: 1, loops: 3, prelude: 1, coda: 1, exits: { after: [1, 2] }, maxPositions: 256 });
  const out = join(base, 'package');
  const tensorrt = { maxRows: 12, prefillChunk: 40, build: false };
  await compiled({ model, out, pageSize: 16, attentionGroups: 2, tensorrt });
  manifest = (await opened(out)).manifest;
});

afterAll(() => rmSync(base, { recursive: true }));

/** Milliseconds of a made-up GPU. */
const cost = {
  pass: (rows: number) => 1 + 0.125 * rows,
  head: (heads: number) => 0.25 + 0.0625 * heads,
  prompt: (tokens: number) => 1 + 0.03125 * tokens,
  propagate: (states: number) => 0.5 + 0.0078125 * states,
};

/** Times engines that take what `cost` says, `small` a tenth less for one row and a tenth more for others. */
async function timed(context: number): Promise<{ readonly times: EngineTimes; readonly runs: readonly EngineRun[] }> {
  const runs: EngineRun[] = [];
  const scratch = join(base, 'scratch');
  const facts = manifest.tensorrt!;
  const run = async (call: EngineRun) => {
    runs.push(call);
    checkInputs(call);
    const { shapes } = call;
    const profile = facts.engines.find(({ plan }) => call.plan.endsWith(plan))!.profiles[call.profile]!;
    const [rows = 0, tokens = 0] = shapes.input_ids ?? [];
    const pass = tokens > 1 ? cost.prompt(tokens) : cost.pass(rows);
    const all =
      shapes.input_ids === undefined ? cost.propagate(shapes.hidden![0]!) : pass + cost.head(shapes.head_rows![0]!);
    const factor = profile.name !== 'small' ? 1 : rows <= 2 ? 0.9 : 1.1;
    // One in five is an interruption, which a median does not see.
    const times = Array.from({ length: call.iterations }, (_, i) => all * factor * (i % 5 === 0 ? 3 : 1));
    const rest = { startEnqMs: 0, endEnqMs: 0, startH2dMs: 0, endH2dMs: 0, startComputeMs: 0, endComputeMs: 0 };
    writeFileSync(
      join(call.folder, call.exportTimes!),
      JSON.stringify(times.map((ms) => ({ ...rest, h2dMs: 0, computeMs: ms, d2hMs: 0, latencyMs: ms }))),
    );
    return success(undefined);
  };
  const measured = await timeEngines(manifest, { facts, folder: base, scratch, run }, { context });
  if (!measured.ok) expect.fail(JSON.stringify(measured.diagnostics));
  expect(readdirSync(scratch)).toEqual([]);
  return { times: measured.value, runs };
}

/** What an engine would read beyond the end of something for. */
function checkInputs({ folder, shapes, loadInputs }: EngineRun): void {
  const names = Object.keys(shapes);
  const graph = Object.values(manifest.graphs).find(({ inputs }) => inputs.length === names.length)!;
  expect(graph.inputs.map(({ name }) => name)).toEqual(names);
  for (const { name, dtype } of graph.inputs) {
    const path = join(folder, loadInputs[name]!);
    const count = shapes[name]!.reduce((a, b) => a * b, 1);
    expect(statSync(path).size).toBe(count * (dtype === 'i64' ? 8 : 4));
    if (dtype !== 'i64') continue;
    const { data } = makeTensor(dtype, shapes[name]!, decodeTensor(dtype, readFileSync(path)));
    const below = (limit: number) => expect(Math.max(...data), name).toBeLessThan(limit);
    if (name === 'depth') below(3);
    else if (name.startsWith('boundary_page_table')) below(shapes['key_pages.0']![0]!);
    else if (name.startsWith('page_table')) below(shapes['key_pages.1']![0]!);
    else if (name === 'entering_rows' || name === 'leaving_rows') below(shapes.depth![0]!);
    else if (name === 'head_rows') below(shapes.input_ids![0]! * shapes.input_ids![1]!);
    expect(count, name).toBeGreaterThan(0);
  }
  const groups = Object.entries(shapes).filter(([name]) => name.startsWith('page_table.'));
  if (groups.length > 0) expect(groups.reduce((sum, [, [rows]]) => sum + rows!, 0)).toBe(shapes.depth![0]);
}

test('a table of the best profile, in which heads are told from passes', async () => {
  const { times, runs } = await timed(100);
  const { profile } = times;
  expect(runs.length).toBe(times.times.length);
  expect(runs.length).toBeLessThan(40);
  const share = headShare(manifest);
  expect(times.headShare).toBe(share);
  expect(profile.context).toBe(100);
  // Two groups have at least two rows.
  expect(profile.passes.map(({ rows }) => rows)).toEqual([2, 4, 8, 12]);
  const first = share * 0.9 * (cost.pass(2) + cost.head(1));
  expect(profile.passes[0]!.milliseconds).toBeCloseTo(0.9 * (cost.pass(2) + cost.head(1)) - first, 9);
  expect(profile.passes[3]!.milliseconds).toBeCloseTo(cost.pass(12) + cost.head(1) - first, 9);
  expect(profile.heads!.map(({ heads }) => heads)).toEqual([1, 2, 4, 8, 12]);
  expect(profile.heads![0]!.milliseconds).toBeCloseTo(first, 9);
  expect(profile.heads![4]!.milliseconds).toBeCloseTo(first + 0.0625 * 11, 9);
  // Whatever share the first head has, a pass with heads takes what it took.
  const heads = profile.heads!.map(({ heads: count, milliseconds }) => ({ count, milliseconds }));
  expect(profile.passes[3]!.milliseconds + timeAt(heads, 12)).toBeCloseTo(cost.pass(12) + cost.head(12), 9);
  expect(profile.prompt!.map(({ tokens }) => tokens)).toEqual([16, 32, 40]);
  expect(profile.prompt![2]!.milliseconds).toBeCloseTo(cost.prompt(40) + cost.head(1) - first, 9);
  const propagate = profile.propagate!;
  expect(propagate.map(({ tokens }) => tokens)).toEqual([1, 2, 4, 8, 16, 24]);
  // One state is not what `small` takes longer for.
  expect(propagate[0]!.milliseconds).toBeCloseTo(0.9 * cost.propagate(1), 9);
  expect(propagate[5]!.milliseconds).toBeCloseTo(cost.propagate(24), 9);
});

test('every profile is timed, with its spread, on rows at all depths and the pages of their context', async () => {
  const { times, runs } = await timed(100);
  const of = (part: string, name: string) =>
    times.times.filter((time) => time.part === part && time.profile === name).map(({ count }) => count);
  expect(of('passes', 'decode')).toEqual([2, 4, 8, 12]);
  expect(of('passes', 'small')).toEqual([2, 4]);
  expect(of('prompt', 'prefill')).toEqual([16, 32, 40]);
  expect(of('propagate', 'small')).toEqual([1, 2, 4]);
  const [one] = times.times;
  expect(one).toMatchObject({ part: 'passes', count: 2, plan: 'step.all.plan', profile: 'decode' });
  expect(one!.high).toBeCloseTo(3 * one!.median, 9);
  expect(one!.low).toBeCloseTo(one!.median, 9);
  // 100 positions are 7 pages of 16; page 0 is nobody's.
  const steps = runs.filter(({ shapes }) => shapes.depth?.length === 1 && shapes.input_ids?.[1] === 1);
  expect(steps.every(({ shapes }) => shapes['page_table.0']![1] === 7)).toBe(true);
  expect(steps.find(({ shapes }) => shapes.depth![0] === 12)!.shapes['key_pages.1']![0]).toBe(1 + 12 * 7);
});

test('a share of the head is the part of the bytes that it reads', () => {
  const bytes = (stored: number) => ({ stored, unrolled: stored });
  const rest = { exits: bytes(0), other: bytes(0), prelude: bytes(10), coda: bytes(20), lora: bytes(30) };
  const sizes = { ...rest, block: bytes(40), embeddings: bytes(300), head: bytes(100) };
  expect(headShare({ sizes, config: {} })).toBe(0.5);
  expect(headShare({ sizes, config: { tie_word_embeddings: true } })).toBe(0.8);
});
