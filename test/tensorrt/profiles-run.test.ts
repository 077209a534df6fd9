import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { GraphTensor } from '../../files/manifest.ts';
import { readPackage } from '../../files/package.ts';
import { planEngines } from '../../targets/tensorrt/profiles/plan-engines.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';
import { policyOf } from './profiles-graphs.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-profiles-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const whole: Partial<TinyModelOptions> = { prelude: 1, block: 1, loops: 3, coda: 1, exits: { after: [1, 2] } };

/** What broadcasts, reshapes and joins in a graph is in no list of inputs: so graphs are run with each profile's sizes. */
test.each([
  ['a step with prelude, coda and two groups of rows', 'depth-batched', 2, whole],
  ['a step of the block alone', 'depth-batched', 1, { loops: 2, ranks: [2, 3] }],
  ['an ordinary decoder', 'unrolled', 1, whole],
] as const)('%s runs at min, opt and max of every profile', async (_, form, groups, options) => {
  const name = `${form}-${groups}-${options.loops}`;
  const model = join(folder, name, 'model');
  const out = join(folder, name, 'package');
  makeTinyModel(model, options);
  const grouped = form === 'depth-batched' ? { pageSize: 16, attentionGroups: groups } : {};
  const result = await compile({ model, out, form, ...grouped });
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
  const read = await readPackage(out);
  if (!read.ok) expect.fail(JSON.stringify(read.diagnostics));
  const { graphs } = read.value.manifest;

  const policy = policyOf({
    maxRows: 5,
    smallRows: 3,
    maxContext: 60,
    prefillChunk: 6,
    pageSize: 16,
    groups,
    exits: [...Array(options.loops! - 1).fill(0.25), 1 - 0.25 * (options.loops! - 1)],
  });
  const listed = Object.entries(graphs).map(([file, { inputs }]) => ({ file, inputs }));
  const engines = planEngines({ graphs: listed, form, policy, separate: false });
  expect(engines.map(({ graph }) => graph).sort()).toEqual(Object.keys(graphs).sort());
  for (const { graph, profiles } of engines) {
    const { inputs } = graphs[graph]!;
    const session = await ort.InferenceSession.create(join(out, graph), { intraOpNumThreads: 1, logSeverityLevel: 3 });
    const ran: string[] = [];
    for (const profile of profiles) {
      for (const selector of ['min', 'opt', 'max'] as const) {
        const shapeOf = ({ name: input, dims }: GraphTensor) => profile.inputs[input]?.[selector] ?? dims.map(Number);
        const feeds = inputs
          .filter((input) => session.inputNames.includes(input.name))
          .map((input) => [input.name, filled(input, shapeOf(input))] as const);
        const outputs = await session.run(Object.fromEntries(feeds));
        const ids = shapeOf(inputs.find((input) => input.name === 'input_ids') ?? inputs[0]!);
        const first = outputs['hidden.out'] ?? outputs.logits ?? Object.values(outputs)[0]!;
        expect(first.dims[0], `${graph} ${profile.name} ${selector}`).toBe(ids[0]);
        const heads = inputs.find((input) => input.name === 'head_rows');
        if (heads) expect(outputs.logits!.dims[0]).toBe(shapeOf(heads)[0]);
        ran.push(`${profile.name}.${selector}`);
      }
    }
    expect(ran).toHaveLength(3 * profiles.length);
    await session.release();
  }
});

/** Zeros are valid everywhere: token 0, row 0, page 0, depth 0. Nothing is masked. */
function filled({ name, dtype }: GraphTensor, shape: readonly number[]): ort.Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  if (dtype === 'f32') return new ort.Tensor('float32', new Float32Array(size), shape);
  return new ort.Tensor('int64', new BigInt64Array(size).fill(name === 'attention_mask' ? 1n : 0n), shape);
}
