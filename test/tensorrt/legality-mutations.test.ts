import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { OnnxAttribute, OnnxGraph, OnnxModel, OnnxNode, OnnxTensor } from '../../targets/onnx/onnx-model.ts';
import { illegalNodes } from '../../targets/tensorrt/operators/check-legality.ts';
import { findings, loweredModels, sourceModel, version } from './lowered-models.ts';
import { float, info, int, text, type } from './one-node-models.ts';

/** A good graph with one thing that is wrong with it, and where: a node, or a value that it is about. */
interface Broken {
  readonly graph: OnnxGraph;
  readonly where: string;
}

/** Breaks one place of a graph; undefined where it has no such place. */
type Mutation = (graph: OnnxGraph, pick: number) => Broken | undefined;

/** Changes one of the nodes that `which` finds. */
function onNode(which: (node: OnnxNode) => boolean, change: (node: OnnxNode) => Partial<OnnxNode>): Mutation {
  return (graph, pick) => {
    const found = graph.nodes.filter(which);
    const node = found[pick % found.length];
    if (!node) return undefined;
    const broken = { ...node, ...change(node) };
    return {
      graph: { ...graph, nodes: graph.nodes.map((each) => (each === node ? broken : each)) },
      where: broken.name,
    };
  };
}

/** Gives a node of an operator another attribute. */
function withAttribute(opType: string, name: string, value: OnnxAttribute): Mutation {
  return onNode(is(opType), ({ attributes }) => ({ attributes: { ...attributes, [name]: value } }));
}

function onInitializer(which: (tensor: OnnxTensor) => boolean, change: (tensor: OnnxTensor) => object): Mutation {
  return (graph, pick) => {
    const found = graph.initializers.filter(which);
    const tensor = found[pick % found.length];
    if (!tensor) return undefined;
    const initializers = graph.initializers.map((each) => (each === tensor ? { ...each, ...change(each) } : each));
    return { graph: { ...graph, initializers }, where: tensor.name };
  };
}

const is =
  (...opTypes: string[]) =>
  (node: OnnxNode) =>
    opTypes.includes(node.opType);
const any = (): boolean => true;
const isExternal = ({ data }: OnnxTensor) => data.kind === 'external';
const external = (change: object) => onInitializer(isExternal, ({ data }) => ({ data: { ...data, ...change } }));
const isFloatOutput = (graph: OnnxGraph, name: string) =>
  graph.valueInfo.some((value) => value.name === name && /FLOAT/.test(value.elementType ?? ''));

/** One input of a node through a Cast to a type that it is not of. */
function throughCast(
  which: (node: OnnxNode) => boolean,
  index: number,
  to: 'FLOAT' | 'DOUBLE' | 'INT32' | 'BOOL',
): Mutation {
  return (graph, pick) => {
    const found = graph.nodes.filter((node) => which(node) && node.inputs.length > index);
    const node = found[pick % found.length];
    if (!node) return undefined;
    const cast = {
      name: 'cast_in',
      opType: 'Cast',
      domain: '',
      inputs: [node.inputs[index]!],
      outputs: ['cast_out'],
      attributes: { to: type(to) },
    };
    const broken = { ...node, inputs: node.inputs.with(index, 'cast_out') };
    const nodes = graph.nodes.flatMap((each) => (each === node ? [cast, broken] : [each]));
    // A type that TensorRT has not is the fault of the Cast already.
    return { graph: { ...graph, nodes }, where: to === 'DOUBLE' ? 'cast_in' : node.name };
  };
}

/** One input of a node becomes an input of the graph, known only when it runs. */
function fromOutside(opType: string, index: number): Mutation {
  return (graph, pick) => {
    const broken = onNode(
      (node) => node.opType === opType && node.inputs.length > index,
      ({ inputs }) => ({ inputs: inputs.with(index, 'outside') }),
    )(graph, pick);
    return broken && { ...broken, graph: { ...broken.graph, inputs: [...graph.inputs, info('outside', 'INT64', 1)] } };
  };
}

const mutations: Readonly<Record<string, Mutation>> = {
  'an operator that nobody reads': onNode(any, () => ({ opType: 'DFT' })),
  'an operator that came later': onNode(is('Mul', 'Sigmoid'), () => ({ opType: 'Swish' })),
  'an operator of ONNX Runtime': onNode(any, () => ({ opType: 'SkipLayerNormalization', domain: 'com.microsoft' })),
  'the domain of somebody else': onNode(
    (node) => node.opType !== 'Gelu',
    () => ({ domain: 'com.microsoft' }),
  ),
  'a plugin': onNode(any, ({ attributes }) => ({ attributes: { ...attributes, plugin_namespace: text('mine') } })),
  'an input that nothing makes': onNode(
    (node) => node.inputs.length > 0,
    ({ inputs }) => ({ inputs: inputs.with(0, 'lost') }),
  ),
  'an input too many': onNode(
    is('Add', 'Mul', 'MatMul', 'Softmax', 'Cast', 'Neg', 'Exp', 'Sqrt', 'Transpose'),
    ({ inputs }) => ({
      inputs: [...inputs, ...inputs, ...inputs],
    }),
  ),
  'an input too few': onNode(is('Add', 'Mul', 'MatMul', 'Where', 'Gather', 'Gemm'), ({ inputs }) => ({
    inputs: inputs.slice(0, 1),
  })),
  'an output too many': onNode(is('Add', 'Mul', 'Softmax', 'Gather', 'Reshape'), ({ outputs }) => ({
    outputs: [...outputs, 'one_more'],
  })),
  'a name that is taken': onNode(any, ({ inputs, outputs }) => ({
    outputs: [inputs.find((name) => name !== '') ?? outputs[0]!],
  })),
  'a name with a quote': onNode(any, ({ name }) => ({ name: `${name}"` })),
  'a Cast to DOUBLE': onNode(is('Cast'), () => ({ attributes: { to: type('DOUBLE') } })),
  'a Cast to UINT16': onNode(is('Cast'), () => ({ attributes: { to: type('UINT16') } })),
  'a Cast to FP8': onNode(is('Cast'), () => ({ attributes: { to: type('FLOAT8E4M3FN') } })),
  'a Cast to a type that nobody has': onNode(is('Cast'), () => ({ attributes: { to: int(99) } })),
  'a Cast to another type than declared': (graph, pick) =>
    onNode(
      (node) => node.opType === 'Cast' && isFloatOutput(graph, node.outputs[0]!),
      ({ attributes }) => ({
        attributes: {
          to: type(JSON.stringify(attributes) === JSON.stringify({ to: type('FLOAT') }) ? 'BFLOAT16' : 'FLOAT'),
        },
      }),
    )(graph, pick),
  'DOUBLE in a product': throughCast(is('MatMul', 'Gemm'), 0, 'DOUBLE'),
  'integers in a product': throughCast(is('MatMul', 'Gemm'), 0, 'INT32'),
  'truths in a sum': throughCast(is('Add'), 0, 'BOOL'),
  'truths in a Softmax': throughCast(is('Softmax', 'Sigmoid', 'ReduceMean', 'Sqrt'), 0, 'BOOL'),
  'a float where a place belongs': throughCast(is('Gather'), 1, 'FLOAT'),
  'a number where a truth belongs': throughCast(is('Where', 'And', 'Or', 'Not'), 0, 'FLOAT'),
  'a shape of INT32': throughCast(is('Reshape', 'Expand', 'Unsqueeze'), 1, 'INT32'),
  'axes of a sum from outside': fromOutside('ReduceMean', 1),
  'axes of Unsqueeze from outside': fromOutside('Unsqueeze', 1),
  'the axis of CumSum from outside': fromOutside('CumSum', 1),
  'a causal Attention': withAttribute('Attention', 'is_causal', int(1)),
  'an Attention with a softcap': withAttribute('Attention', 'softcap', float(50)),
  'an Attention with another softmax': withAttribute('Attention', 'softmax_precision', int(1)),
  'an Attention of a negative scale': withAttribute('Attention', 'scale', float(-0.1)),
  'an Attention with a past': onNode(is('Attention'), ({ inputs }) => ({
    inputs: [...inputs, inputs[1]!, inputs[2]!],
  })),
  'an Attention with what is new to keep': onNode(is('Attention'), ({ outputs }) => ({
    outputs: [...outputs, 'k', 'v'],
  })),
  'an Attention whose mask is of another type': throughCast(is('Attention'), 3, 'INT32'),
  'an Attention with a comma in its name': onNode(is('Attention'), ({ name }) => ({ name: `${name},2` })),
  'additions to places': withAttribute('ScatterND', 'reduction', text('add')),
  'the best, unsorted': withAttribute('TopK', 'sorted', int(0)),
  'another Gelu': withAttribute('Gelu', 'approximate', text('fast')),
  'a weight as DOUBLE': onInitializer(any, () => ({ elementType: 'DOUBLE' })),
  'a weight of another type': onInitializer(
    (tensor) => /FLOAT/.test(tensor.elementType),
    () => ({ elementType: 'INT64' }),
  ),
  bytes: onInitializer(
    (tensor) => tensor.elementType === 'INT64' && tensor.data.kind === 'inline',
    () => ({ elementType: 'UINT8' }),
  ),
  'a weight of other sizes': onInitializer(isExternal, ({ dims }) => ({ dims: [...dims, 2] })),
  'a weight that is shorter': onInitializer(isExternal, ({ data }) => ({ data: { ...data, length: 2 } })),
  'a weight in the folder above': external({ location: '../model.safetensors' }),
  'a weight somewhere else': external({ location: '/tmp/model.safetensors' }),
  'a weight in no file': external({ location: '' }),
  'a weight with more to say': external({ otherKeys: ['basepath'] }),
  'an input of DOUBLE': (graph, pick) => {
    const at = pick % graph.inputs.length;
    const inputs = graph.inputs.map((each, i) => (i === at ? { ...each, elementType: 'DOUBLE' as const } : each));
    return { graph: { ...graph, inputs }, where: graph.inputs[at]!.name };
  },
  'an input of nobody knows what': (graph, pick) => {
    const at = pick % graph.inputs.length;
    const inputs = graph.inputs.map((each, i) => (i === at ? { ...each, elementType: undefined } : each));
    return { graph: { ...graph, inputs }, where: graph.inputs[at]!.name };
  },
  'an input with a comma': (graph, pick) => {
    const [old, fresh] = [graph.inputs[pick % graph.inputs.length]!.name, 'a,b'];
    const renamed = (name: string) => (name === old ? fresh : name);
    const inputs = graph.inputs.map((each) => ({ ...each, name: renamed(each.name) }));
    return {
      graph: { ...graph, inputs, nodes: graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map(renamed) })) },
      where: fresh,
    };
  },
  'an output of another type': (graph, pick) => {
    const { name, elementType } = graph.outputs[pick % graph.outputs.length]!;
    const other = elementType === 'FLOAT' ? 'FLOAT16' : 'FLOAT';
    const outputs = graph.outputs.map((each) =>
      each.name === name ? ({ ...each, elementType: other } as const) : each,
    );
    return { graph: { ...graph, outputs }, where: graph.nodes.find((node) => node.outputs.includes(name))!.name };
  },
  'an output that nothing makes': (graph) => ({
    graph: { ...graph, outputs: [...graph.outputs, info('lost', 'FLOAT')] },
    where: 'lost',
  }),
  'an output that is an input': (graph, pick) => {
    const given = graph.inputs[pick % graph.inputs.length]!;
    return { graph: { ...graph, outputs: [...graph.outputs, given] }, where: given.name };
  },
  'a value declared of another type': (graph, pick) => {
    const value = graph.valueInfo[pick % graph.valueInfo.length]!;
    const valueInfo = graph.valueInfo.map((each) =>
      each === value ? { ...each, elementType: 'INT8' as const } : each,
    );
    return {
      graph: { ...graph, valueInfo },
      where: graph.nodes.find((node) => node.outputs.includes(value.name))!.name,
    };
  },
  'nine axes': (graph, pick) => {
    const { name } = graph.inputs[pick % graph.inputs.length]!;
    const axes: OnnxTensor = {
      name: 'nine',
      elementType: 'INT64',
      dims: [8],
      data: { kind: 'inline', bytes: new Uint8Array(64) },
    };
    const view = new DataView((axes.data as { bytes: Uint8Array }).bytes.buffer);
    for (let i = 0; i < 8; i++) view.setBigInt64(8 * i, BigInt(i), true);
    const node = {
      name: 'wide',
      opType: 'Unsqueeze',
      domain: '',
      inputs: [name, 'nine'],
      outputs: ['wide_out'],
      attributes: {},
    };
    return {
      graph: { ...graph, initializers: [...graph.initializers, axes], nodes: [...graph.nodes, node] },
      where: 'wide',
    };
  },
};

/** Places of a graph that each kind of fault is put into. */
const picks = fc.sample(fc.nat(9999), { seed: 7, numRuns: 3 });

let graphs: ReadonlyMap<string, OnnxModel>;

beforeAll(async () => {
  const lower = async (
    name: string,
    form: 'unrolled' | 'depth-batched',
    attention: 'native' | 'parts',
    precision: 'f16' | 'f32',
  ) =>
    [...loweredModels(await sourceModel(name), { form, attention, precision }).entries()].map(
      ([file, model]) => [`${name} ${form} ${file}`, model] as const,
    );
  graphs = new Map([
    ...(await lower('llama-middle-cycle', 'depth-batched', 'native', 'f16')),
    ...(await lower('gemma-relaxed', 'unrolled', 'parts', 'f32')),
  ]);
});

test('the graphs are good as they are', () => {
  expect(graphs.size).toBe(3);
  for (const [name, model] of graphs) expect(findings(model, '10.16'), name).toEqual([]);
});

/** How many graphs of a kind of fault were tried. */
const tried = new Map<string, number>();

describe('a fault in a good graph is found, and named by its place', () => {
  test.each(Object.keys(mutations))('%s', (kind) => {
    for (const [name, model] of graphs) {
      for (const pick of picks) {
        const broken = mutations[kind]!(model.graph, pick);
        if (!broken) continue;
        tried.set(kind, (tried.get(kind) ?? 0) + 1);
        const found = illegalNodes({ ...model, graph: broken.graph }, version('10.16'));
        expect(
          found.map(({ node }) => node),
          `${name}, ${pick}: ${JSON.stringify(found)}`,
        ).toContain(broken.where);
        for (const { message, hint } of found) {
          expect(message).toMatch(/\.$/);
          expect(hint).toMatch(/\.$/);
          expect(message + hint).not.toMatch(/undefined|NaN|\[object/);
        }
      }
    }
  });

  test('some hundreds were tried, and of every kind that these graphs have a place for', () => {
    expect([...tried.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(250);
    const none = Object.keys(mutations).filter((kind) => !tried.has(kind));
    // Neither graph has a window, nor a confidence that is a margin.
    expect(none).toEqual(['the axis of CumSum from outside', 'the best, unsorted']);
  });
});
