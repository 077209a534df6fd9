import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Graph } from '../../ir/graph.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { loopPipeline, unrolledPipeline } from '../../passes/pipelines.ts';
import { runPasses } from '../../passes/run-passes.ts';
import { dialects } from '../../targets/onnx/dialects.ts';
import { lowerToModel, lowerToOnnx } from '../../targets/onnx/lower.ts';
import { allNodes } from '../../targets/onnx/onnx-model.ts';
import { decodeModel } from '../../targets/onnx/proto.ts';
import { expectClose } from '../support/expect-close.ts';
import { randomInputs } from '../support/random-tensors.ts';
import { promptInputs, type ReferenceModel, referenceModel, referenceNames } from '../support/reference-model.ts';
import { loadOnnx } from './run-onnx.ts';

const forms = ['unrolled', 'loop'] as const;
const variants = forms.flatMap((form) => (['portable', 'ort'] as const).map((dialect) => ({ form, dialect })));

describe.each(referenceNames)('%s', (name) => {
  const folder = join(import.meta.dirname, '..', 'models', name);
  let source: ReferenceModel;
  let graphs: ReadonlyMap<string, Graph<'lowered'>>;

  beforeAll(async () => {
    source = await referenceModel(name);
    graphs = new Map(variants.map(({ form, dialect }) => [`${form} ${dialect}`, prepare(source, form, dialect)]));
  });
  const graphOf = ({ form, dialect }: (typeof variants)[number]): Graph<'lowered'> => graphs.get(`${form} ${dialect}`)!;

  test.each(variants)('$form, $dialect: what transformers computes', async ({ form, dialect }) => {
    const graph = graphOf({ form, dialect });
    const file = lowerToOnnx(graph, { dialect, fileName: 'model.onnx', version: '0', metadata: {} });
    const onnx = await loadOnnx(file, folder);
    try {
      const inputs = new Map(promptInputs(graph, source.reference.get('input_ids')!));
      if (form === 'loop') inputs.set('max_loops', makeTensor('i64', [], [source.model.recursion.loops]));
      if (form === 'loop') inputs.set('exit_threshold', makeTensor('f32', [], [1]));
      const found = await onnx.run(inputs);
      const compared = [...source.reference.keys()].filter((key) => found.has(key));
      const exits = form === 'unrolled' ? (source.model.exits?.after ?? []) : [];
      expect(compared.sort()).toEqual([...exits.map((n) => `exit_logits.${n}`), 'logits']);
      for (const key of compared) expectClose(found.get(key)!, source.reference.get(key)!, 1e-4, key);
    } finally {
      await onnx.close();
    }
  });

  test('unrolled, both dialects: any mask, with and without a past, as the source graph says', async () => {
    const cache = new Map<string, Tensor>();
    const answers: (readonly [inputs: ReadonlyMap<string, Tensor>, expected: ReadonlyMap<string, Tensor>])[] = [];
    for (const sizes of [
      { batch: 3, sequence: 4, past: 3 },
      { batch: 1, sequence: 1, past: 5 },
      { batch: 2, sequence: 3, past: 0 },
    ]) {
      const inputs = randomInputs(source.graph, `${name} ${sizes.past}`, sizes);
      answers.push([inputs, await interpret(source.graph, inputs, { readWeight: source.readWeight, cache })]);
    }
    for (const dialect of ['portable', 'ort'] as const) {
      const graph = graphOf({ form: 'unrolled', dialect });
      const file = lowerToOnnx(graph, { dialect, fileName: 'model.onnx', version: '0', metadata: {} });
      const onnx = await loadOnnx(file, folder);
      try {
        for (const [inputs, expected] of answers) {
          const found = await onnx.run(inputs);
          for (const [key, value] of expected) expectClose(found.get(key)!, value, 1e-4, `${dialect} ${key}`);
        }
      } finally {
        await onnx.close();
      }
    }
  });

  test.each(variants)('$form, $dialect: each tensor of the checkpoint is one initializer', (variant) => {
    const graph = graphOf(variant);
    const { model, linked, generated } = lowerToModel(graph, { ...variant, version: '0', metadata: {} });
    const used = model.graph.initializers.flatMap(({ name: tensor, data }) =>
      data.kind === 'external' ? [`${data.location} ${data.offset} ${tensor}`] : [],
    );
    const stored = [...source.model.tensors.values()].map(
      ({ file, offset, name: tensor }) => `${file.path} ${offset} ${tensor}`,
    );
    expect(used.sort()).toEqual(stored.sort());
    expect(linked).toEqual(['model.safetensors']);
    expect(generated).toEqual([]);
    for (const { value } of nestedGraphs(model.graph)) expect(value.initializers).toEqual([]);
  });

  test.each(variants)('$form, $dialect: names, operators, bytes', (variant) => {
    const graph = graphOf(variant);
    const options = { ...variant, fileName: 'model.onnx', version: '1.2.3', metadata: { 'rtc.form': variant.form } };
    const { bytes } = lowerToOnnx(graph, options);
    expect(lowerToOnnx(prepare(source, variant.form, variant.dialect), options).bytes, 'the same again').toEqual(bytes);
    const read = decodeModel(bytes, 'model.onnx');
    if (!read.ok) expect.fail('the model cannot be read back');
    const { opset, irVersion, domains } = dialects[variant.dialect];
    expect(read.value).toMatchObject({ irVersion, producerName: 'rtc', producerVersion: '1.2.3' });
    expect(read.value.opsets[0]).toEqual({ domain: '', version: opset });
    const nodes = [...allNodes(read.value.graph)];
    expect(new Set(nodes.map((node) => node.name)).size, 'no two nodes of one name').toBe(nodes.length);
    const made = nodes.flatMap(({ outputs }) => outputs).filter((output) => output !== '');
    expect(new Set(made).size, 'no two values of one name').toBe(made.length);
    for (const { domain } of nodes) expect(['', ...domains]).toContain(domain);
    const outputNames = read.value.graph.outputs.map((output) => output.name);
    expect(outputNames).toEqual(graph.outputs.map((output) => output.name));
  });
});

test('names lead to the loop, the layer and the module', async () => {
  const source = await referenceModel('llama-recursive');
  const { model } = lowerToModel(prepare(source, 'unrolled', 'portable'), {
    dialect: 'portable',
    version: '0',
    metadata: {},
  });
  const names = model.graph.nodes.map((node) => node.name);
  expect(names).toContain('/depth.0/layer.1/self_attn/q_proj/Gemm');
  expect(names).toContain('/depth.2/layer.0/mlp/down_proj/Gemm');
  expect(names).toContain('/lm_head/Gemm');
  expect(names.filter((node) => /[^/]\/(self_attn\.|mlp\.)/.test(node))).toEqual([]);
});

function prepare(
  { model, graph }: ReferenceModel,
  form: (typeof forms)[number],
  dialect: 'portable' | 'ort',
): Graph<'lowered'> {
  const exits = model.exits?.after ?? [];
  const shared = { lora: 'keep', keeps: dialects[dialect].keeps, exits, precision: 'f32' } as const;
  const confidence = model.exits?.confidence ?? 'top1';
  const result = runPasses(graph, (source, run) =>
    form === 'unrolled'
      ? unrolledPipeline(source, { ...shared, exitLogits: true }, run)
      : loopPipeline(source, { ...shared, confidence, layers: model.recursion }, run),
  );
  if (result.outcome !== 'done') expect.fail(JSON.stringify(result));
  return result.graph;
}

function nestedGraphs(graph: ReturnType<typeof lowerToModel>['model']['graph']) {
  return [...allNodes(graph)].flatMap(({ attributes }) =>
    Object.values(attributes).flatMap((attribute) => (attribute.kind === 'graph' ? [attribute] : [])),
  );
}
