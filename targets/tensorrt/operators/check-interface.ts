import { byteLength } from '../../../ir/dtype.ts';
import { dtypeOf } from '../../onnx/execute/dtype-of.ts';
import {
  allNodes,
  type OnnxElementType,
  type OnnxGraph,
  type OnnxModel,
  type OnnxTensor,
} from '../../onnx/onnx-model.ts';
import { operators } from '../operators.ts';
import { tensorrtTypeOf, typeName } from './element-types.ts';
import type { Check } from './findings.ts';
import { countOfDims, type ValueFacts } from './value-facts.ts';

/** Keys of external data that the parser reads or skips; any other ends it. */
const externalKeys = ['location', 'offset', 'length', 'checksum'];

/** Opsets that some version documents. */
const opsets = { min: 9, max: 24 } as const;

/** Reports what is wrong with a model besides its nodes and outputs: inputs, initializers, functions, versions, names. */
export function checkInterface(check: Check, model: OnnxModel): void {
  const { parser, found, opset } = check;
  const at = reporter(found);
  if (opset < opsets.min || opset > opsets.max) {
    const message = `It is written in opset ${opset}, and TensorRT documents ${opsets.min} to ${opsets.max}.`;
    at('model', model.graph.name)(message, 'Export it in another opset.');
  }
  const { inputs, initializers } = model.graph;
  const given = new Set(initializers.map(({ name }) => name));
  for (const { name, elementType } of inputs) {
    if (given.has(name)) continue;
    const report = at('input', name);
    checkBinding(elementType, parser, report);
    if (/[,'"*]/.test(name)) {
      report(
        `The input "${name}" cannot be named on the command line of trtexec.`,
        'Leave , \' " and * out of its name.',
      );
    }
  }
  checkInitializers(model.graph, at);
  for (const node of allNodes(model.graph)) {
    if (node.name.includes('"') || (node.opType === 'Attention' && node.name.includes(','))) {
      at(node.opType, node.name)(
        'Its name cannot be named on the command line of trtexec.',
        'Leave , and " out of it.',
      );
    }
  }
  const names = new Map<string, string>();
  for (const { name, domain } of model.functions ?? []) {
    const report = at('function', name);
    if (operators.has(name)) {
      report(
        `It is called like an operator that ${parser}, or a later one, has, which is read instead of it.`,
        `Call it differently, such as rtc_${name}.`,
      );
    }
    if (names.has(name)) {
      report(
        `There is another function of that name, in the domain "${names.get(name)}", and the parser does not look at domains ("${domain}").`,
        'Give every function its own name.',
      );
    }
    names.set(name, domain);
  }
}

/**
 * Reports what is wrong with a model's outputs.
 * @param factsOf what was found out about a value; undefined for one that nothing makes
 */
export function checkOutputs(
  { parser, found }: Check,
  { inputs, outputs }: OnnxGraph,
  factsOf: (name: string) => ValueFacts | undefined,
): void {
  for (const { name } of outputs) {
    const report = reporter(found)('output', name);
    const value = factsOf(name);
    if (!value) report('Nothing makes it.', 'Export the model again.');
    // Of what type nobody knows, its node has said.
    else if (value.type !== undefined) checkBinding(value.type, parser, report);
    if (name.includes('"')) report(`The output "${name}" makes what trtexec exports unreadable.`, 'Leave " out of it.');
    if (inputs.some((input) => input.name === name)) {
      report('It is an input as well, which the parser would give another name.', 'Put an Identity between them.');
    }
  }
}

type Report = (message: string, hint: string, type?: string) => void;

function reporter(found: Check['found']): (op: string, node: string) => Report {
  return (op, node) => (message, hint, type) => {
    found.push({ node, op, ...(type !== undefined && { type }), message, hint });
  };
}

function checkBinding(type: OnnxElementType | undefined, parser: string, report: Report): void {
  if (type === undefined || type === 'UNDEFINED') {
    report('Its type cannot be found.', 'Run shape inference on the model.');
  } else if (!tensorrtTypeOf(type)) {
    const why = type === 'DOUBLE' ? 'makes FP32 of' : 'has no tensors of';
    report(`It is ${type}, and ${parser} ${why} that.`, 'Cast it to FP32 or INT64.', type);
  }
}

function checkInitializers(graph: OnnxGraph, at: (op: string, node: string) => Report): void {
  const quantized = new Set(
    [...allNodes(graph)].flatMap(({ opType, inputs }) =>
      /QuantizeLinear|DequantizeLinear/.test(opType) ? inputs : [],
    ),
  );
  for (const tensor of allInitializers(graph)) {
    const { name, elementType, dims, data } = tensor;
    const report = at('initializer', name);
    if (elementType === 'UINT8' && !quantized.has(name)) {
      report('It is UINT8, which becomes INT32, four times as large.', 'Store it as INT64, INT32 or BOOL.', 'UINT8');
    } else if (elementType === 'DOUBLE') {
      report('It is DOUBLE, which becomes FP32.', 'Store it as FP32.', 'DOUBLE');
    } else if (!tensorrtTypeOf(elementType)) {
      report(`It is ${elementType}, which TensorRT has not.`, 'Store it in another type.', elementType);
    }
    const bytes = bytesOf(tensor);
    const length = data.kind === 'inline' ? data.bytes.length : data.length;
    if (bytes !== undefined && bytes !== length) {
      report(
        `It has ${length} bytes where ${typeName(elementType)} [${dims}] takes ${bytes}.`,
        'Write the file again.',
      );
    }
    if (data.kind === 'external') checkPlace(data, report);
    if (dims.length > 8) report(`It has ${dims.length} axes, and a tensor of TensorRT at most 8.`, 'Join some axes.');
  }
}

function checkPlace(
  { location, offset, otherKeys = [] }: Extract<OnnxTensor['data'], { readonly kind: 'external' }>,
  report: Report,
): void {
  const outside = location.startsWith('/') || /^[A-Za-z]:/.test(location) || location.split(/[\\/]/).includes('..');
  if (location === '' || outside) {
    report(`Its bytes are in "${location}", and they have to lie beside the model.`, 'Put the file there.');
  }
  if (!Number.isSafeInteger(offset) || offset < 0) report(`Its bytes are at ${offset}.`, 'Write the file again.');
  const odd = otherKeys.filter((key) => !externalKeys.includes(key));
  if (odd.length > 0) {
    report(
      `Its external data says ${odd.join(', ')}, and the parser reads ${externalKeys.join(', ')}.`,
      'Leave it out.',
    );
  }
}

function* allInitializers(graph: OnnxGraph): Generator<OnnxTensor> {
  yield* graph.initializers;
  for (const { attributes } of graph.nodes) {
    for (const attribute of Object.values(attributes)) {
      if (attribute.kind === 'graph') yield* allInitializers(attribute.value);
    }
  }
}

function bytesOf({ elementType, dims }: OnnxTensor): number | undefined {
  const count = countOfDims(dims)!;
  const dtype = dtypeOf(elementType);
  if (dtype) return byteLength(dtype, count);
  if (elementType === 'FLOAT8E4M3FN') return count;
  return elementType === 'FLOAT4E2M1' ? Math.ceil(count / 2) : undefined;
}
