import { encodeTensor } from '../../../ir/tensor-bytes.ts';
import type { OnnxModel, OnnxNode } from '../../../targets/onnx/onnx-model.ts';
import { encodeModel } from '../../../targets/onnx/proto.ts';

function node(name: string, opType: string, inputs: readonly string[], output: string): OnnxNode {
  return { name, opType, domain: '', inputs, outputs: [output], attributes: {} };
}

/** Four nodes with names as rtc gives them; `y` [rows, 2] is 1 + max(0, x · w), of `x` [rows, 3]. */
export const smallModel: OnnxModel = {
  irVersion: 10,
  opsets: [{ domain: '', version: 21 }],
  producerName: 'rtc',
  producerVersion: '0',
  docString: '',
  metadata: {},
  graph: {
    name: 'step',
    docString: '',
    nodes: [
      node('/block/layer.3/self_attn/q_proj/MatMul', 'MatMul', ['x', 'w'], '/block/layer.3/self_attn/q_proj/out'),
      node('/depth.1/layer.0/mlp/Relu', 'Relu', ['/block/layer.3/self_attn/q_proj/out'], '/depth.1/layer.0/mlp/up'),
      node('/size/Shape', 'Shape', ['x'], '/size/Shape.out'),
      node('/head/norm/Add', 'Add', ['/depth.1/layer.0/mlp/up', 'one'], 'y'),
    ],
    initializers: [
      {
        name: 'w',
        elementType: 'FLOAT',
        dims: [3, 2],
        data: { kind: 'inline', bytes: encodeTensor('f32', [1, -1, 0.5, 2, -3, 4]) },
      },
      { name: 'one', elementType: 'FLOAT', dims: [1], data: { kind: 'inline', bytes: encodeTensor('f32', [1]) } },
    ],
    inputs: [{ name: 'x', elementType: 'FLOAT', dims: ['rows', 3] }],
    outputs: [{ name: 'y', elementType: 'FLOAT', dims: ['rows', 2] }],
    valueInfo: [],
  },
};

/** The bytes of step.onnx. */
export const smallModelBytes = encodeModel(smallModel);

/** What builds an engine of it, with one profile, in the folder of the graph. */
export const buildArgs: readonly string[] = [
  '--onnx=step.onnx',
  '--saveEngine=step.all.plan.partial',
  '--profile=0',
  '--minShapes=x:1x3',
  '--optShapes=x:2x3',
  '--maxShapes=x:4x3',
  '--skipInference',
  '--timingCacheFile=timing.cache',
];
