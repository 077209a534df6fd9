import {
  arithmetic,
  type binaryFunctions,
  castTensor,
  geluFunctions,
  mapTensor,
  truthFunctions,
  unaryFunctions,
  where,
  zipTensors,
} from '../../../ir/interpret/elementwise.ts';
import { elementTypes } from '../onnx-model.ts';
import { dtypeOf } from './dtype-of.ts';
import { type NodeCall, type NodeKernel, refuse } from './node-call.ts';

/** Operators of ai.onnx that look at one element at a time. */
export const elementwiseKernels: Readonly<Record<string, NodeKernel>> = {
  Add: binary('add'),
  Sub: binary('sub'),
  Mul: binary('mul'),
  Div: binary('div'),
  Max: ({ inputs }) => [inputs.map(present).reduce((a, b) => arithmetic('max', a, b))],
  Min: ({ inputs }) => [inputs.map(present).reduce((a, b) => arithmetic('min', a, b))],
  // A square is a product to the last bit, which Math.pow does not promise.
  Pow: ({ input }) => [zipTensors(input(0), input(1), (x, y) => (y === 2 ? x * x : x ** y))],
  Neg: unary('neg'),
  Exp: unary('exp'),
  Log: unary('log'),
  Sqrt: unary('sqrt'),
  Reciprocal: unary('reciprocal'),
  Cos: unary('cos'),
  Sin: unary('sin'),
  Tanh: unary('tanh'),
  Sigmoid: unary('sigmoid'),
  Erf: unary('erf'),
  Relu: unary('relu'),
  Not: unary('not'),
  Gelu: ({ input, string }) => {
    const form = { none: 'erf', tanh: 'tanh' } as const;
    const approximate = string('approximate', 'none');
    if (approximate !== 'none' && approximate !== 'tanh') return refuse(`approximates by "${approximate}"`);
    return [mapTensor(input(0), geluFunctions[form[approximate]])];
  },
  Cast: ({ input, int }) => [castTensor(input(0), castTarget(int('to')))],
  Equal: truth('equal'),
  Less: truth('less'),
  LessOrEqual: truth('less_equal'),
  Greater: ({ input }) => [zipTensors(input(1), input(0), truthFunctions.less, 'bool')],
  GreaterOrEqual: ({ input }) => [zipTensors(input(1), input(0), truthFunctions.less_equal, 'bool')],
  And: truth('and'),
  Or: truth('or'),
  Where: ({ input }) => [where(input(0), input(1), input(2))],
  Identity: ({ input }) => [input(0)],
};

function unary(kind: keyof typeof unaryFunctions): NodeKernel {
  return ({ input }) => [mapTensor(input(0), unaryFunctions[kind])];
}

function binary(kind: keyof typeof binaryFunctions): NodeKernel {
  return ({ input }) => {
    const [a, b] = [input(0), input(1)];
    if (a.dtype !== b.dtype) return refuse(`combines ${a.dtype} and ${b.dtype}`);
    return [arithmetic(kind, a, b)];
  };
}

function truth(kind: keyof typeof truthFunctions): NodeKernel {
  return ({ input }) => {
    const [a, b] = [input(0), input(1)];
    if (a.dtype !== b.dtype) return refuse(`compares ${a.dtype} and ${b.dtype}`);
    return [zipTensors(a, b, truthFunctions[kind], 'bool')];
  };
}

function present(x: NodeCall['inputs'][number]) {
  return x ?? refuse('leaves an input out');
}

function castTarget(number: number) {
  const name = Object.entries(elementTypes).find(([, wire]) => wire === number)?.[0] as keyof typeof elementTypes;
  return dtypeOf(name) ?? refuse(`casts to element type ${name ?? number}, which rtc does not compute with`);
}
