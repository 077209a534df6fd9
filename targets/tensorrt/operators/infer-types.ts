import { elementTypes, type OnnxElementType, type OnnxNode } from '../../onnx/onnx-model.ts';
import { attributeOf } from './node-facts.ts';
import { type OutputKind, signatureOf } from './signatures.ts';
import type { ValueFacts } from './value-facts.ts';

type Inputs = readonly (ValueFacts | undefined)[];

/**
 * Element types of what a node makes, by its operator, its attributes and what it is given; undefined where they do not
 * tell. Bodies of If, Loop and Scan are not looked into.
 */
export function inferTypes(node: OnnxNode, inputs: Inputs): readonly (OnnxElementType | undefined)[] {
  const { inputs: kinds, outputs, moreOutputs } = signatureOf(node.opType);
  const first = kinds.indexOf('T');
  const data = inputs[first < 0 ? 0 : first]?.type;
  return node.outputs.map((_, i) => {
    const kind: OutputKind | undefined = outputs[i] ?? moreOutputs;
    if (kind === 'T') return data;
    return kind === '?' ? saidBy(node, inputs) : kind;
  });
}

function saidBy(node: OnnxNode, inputs: Inputs): OnnxElementType | undefined {
  switch (node.opType) {
    case 'Cast':
      return typeAttribute(node, 'to');
    case 'CastLike':
      return inputs[1]?.type;
    case 'Constant':
      return constantType(node);
    case 'ConstantOfShape':
      return node.attributes.value === undefined ? 'FLOAT' : attributeOf(node, 'value', 'tensor')?.elementType;
    case 'EyeLike':
    case 'RandomNormalLike':
    case 'RandomUniformLike':
      return typeAttribute(node, 'dtype') ?? inputs[0]?.type;
    case 'RandomNormal':
    case 'RandomUniform':
      return typeAttribute(node, 'dtype') ?? 'FLOAT';
    case 'BlackmanWindow':
    case 'HammingWindow':
    case 'HannWindow':
      return typeAttribute(node, 'output_datatype') ?? 'FLOAT';
    case 'QuantizeLinear':
      return quantizedType(node, inputs);
    case 'DequantizeLinear':
      return typeAttribute(node, 'output_dtype') ?? inputs[1]?.type;
    default:
      return undefined;
  }
}

/** What a QuantizeLinear makes to TensorRT: INT8 where nothing says it, and not UINT8. */
export function quantizedType(node: OnnxNode, inputs: Inputs): OnnxElementType | undefined {
  return inputs[2] ? inputs[2].type : (typeAttribute(node, 'output_dtype') ?? 'INT8');
}

/** The element type that an attribute names by its number; undefined where there is none, or it says 0. */
export function typeAttribute(node: OnnxNode, name: string): OnnxElementType | undefined {
  const number = attributeOf(node, name, 'int');
  if (number === undefined || number === 0) return undefined;
  return Object.entries(elementTypes).find(([, wire]) => wire === number)?.[0] as OnnxElementType | undefined;
}

function constantType(node: OnnxNode): OnnxElementType | undefined {
  const tensor = attributeOf(node, 'value', 'tensor');
  if (tensor) return tensor.elementType;
  if ('value_float' in node.attributes || 'value_floats' in node.attributes) return 'FLOAT';
  return 'value_int' in node.attributes || 'value_ints' in node.attributes ? 'INT64' : undefined;
}
