import type { OnnxNode } from '../../onnx/onnx-model.ts';
import { fromFront, shapeRange } from './infer-dims.ts';
import { attributeOf } from './node-facts.ts';
import { factsOfTensor, type ValueFacts } from './value-facts.ts';

type Inputs = readonly (ValueFacts | undefined)[];
type Numbers = readonly number[] | undefined;

/** The elements of what a node makes of known ones: what arithmetic of sizes and axes needs, and no more. */
export function inferNumbers(node: OnnxNode, inputs: Inputs): Numbers {
  const [a, b] = inputs.map((input) => input?.numbers);
  switch (node.opType) {
    case 'Constant':
      return constantFacts(node, '')?.numbers;
    case 'Identity':
    case 'Cast':
    case 'Reshape':
    case 'Squeeze':
    case 'Unsqueeze':
      return a;
    case 'Concat':
      return inputs.every((input) => input?.numbers) ? inputs.flatMap((input) => input!.numbers!) : undefined;
    case 'Shape': {
      const dims = inputs[0]?.dims;
      const sizes = dims?.slice(...shapeRange(node, dims.length));
      return sizes?.every((size): size is number => typeof size === 'number') ? sizes : undefined;
    }
    case 'Gather':
      return inputs[0]?.dims?.length === 1 && a && b
        ? b.map((at) => a[fromFront(at, a.length)] ?? Number.NaN)
        : undefined;
    case 'Add':
      return zip(a, b, (x, y) => x + y);
    case 'Sub':
      return zip(a, b, (x, y) => x - y);
    case 'Mul':
      return zip(a, b, (x, y) => x * y);
    default:
      return undefined;
  }
}

/** What a Constant holds. */
export function constantFacts(node: OnnxNode, name: string): ValueFacts | undefined {
  const tensor = attributeOf(node, 'value', 'tensor');
  if (tensor) return factsOfTensor(tensor, name);
  const one = attributeOf(node, 'value_int', 'int') ?? attributeOf(node, 'value_float', 'float');
  const list = attributeOf(node, 'value_ints', 'ints') ?? attributeOf(node, 'value_floats', 'floats');
  const numbers = one === undefined ? list : [one];
  if (!numbers) return undefined;
  const whole = 'value_int' in node.attributes || 'value_ints' in node.attributes;
  const dims = one === undefined ? [numbers.length] : [];
  return { name, type: whole ? 'INT64' : 'FLOAT', dims, constant: 'given', numbers };
}

function zip(a: Numbers, b: Numbers, f: (x: number, y: number) => number): Numbers {
  if (!a || !b || (a.length !== b.length && a.length !== 1 && b.length !== 1)) return undefined;
  const length = Math.max(a.length, b.length);
  return Array.from({ length }, (_, i) => f(a[a.length === 1 ? 0 : i]!, b[b.length === 1 ? 0 : i]!));
}
