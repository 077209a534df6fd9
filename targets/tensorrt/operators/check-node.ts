import type { OnnxElementType } from '../../onnx/onnx-model.ts';
import { type Operator, typesIn } from '../operators.ts';
import { listTypes, tensorrtTypeOf, typeName } from './element-types.ts';
import type { NodeFacts } from './node-facts.ts';
import { rules } from './rules.ts';
import { type InputKind, signatureOf } from './signatures.ts';
import type { ValueFacts } from './value-facts.ts';

/** Outputs that the parser makes, where ONNX has more. */
const fewerOutputs: Readonly<Record<string, number>> = {
  Attention: 1,
  BatchNormalization: 1,
  LayerNormalization: 1,
  MaxPool: 1,
};

/** What an input of each kind may be of, data aside. */
const kinds: Readonly<Record<Exclude<InputKind, 'T' | 'x'>, readonly string[]>> = {
  f: ['FP32', 'FP16', 'BF16'],
  i: ['INT32', 'INT64'],
  l: ['INT64'],
  b: ['BOOL'],
};

/**
 * Reports what is wrong with a node of an operator that the parser reads: inputs and outputs that are missing or too
 * many, types, and what the operator's own rules say. Inputs of unknown types are not looked at.
 * @param outputs the types that it makes
 */
export function checkNode(
  facts: NodeFacts,
  operator: Operator,
  outputs: readonly (OnnxElementType | undefined)[],
): void {
  const { node, inputs, parser, report, version } = facts;
  const { inputs: kindsOf, required, moreInputs, outputs: made, moreOutputs } = signatureOf(node.opType);
  for (let i = 0; i < required; i++) {
    if (!inputs[i]) report(`Its input ${i} is missing.`, 'Export the model again.');
  }
  if (inputs.length > kindsOf.length && moreInputs === undefined) {
    report(`It has ${inputs.length} inputs, and ${node.opType} takes ${kindsOf.length}.`, 'Export the model again.');
  }
  const most = fewerOutputs[node.opType] ?? made.length;
  const wanted = node.outputs.findLastIndex((name) => name !== '') + 1;
  if (moreOutputs === undefined && wanted > most) {
    report(`It has ${wanted} outputs, and ${parser} makes ${most}.`, 'Leave the others out, or compute them apart.');
  }

  const types = typesIn(node.opType, operator, version);
  let first: ValueFacts | undefined;
  inputs.forEach((value, i) => {
    const kind = kindsOf[i] ?? moreInputs;
    if (!value?.type || kind === undefined || kind === 'x') return;
    if (kind !== 'T') checkType(facts, value.type, kinds[kind], `input ${i}`);
    else if (types.length > 0) checkType(facts, value.type, types, 'data');
    if (kind !== 'T') return;
    first ??= value;
    if (first.type !== value.type) {
      const [a, b] = [typeName(first.type!), typeName(value.type)];
      report(`It mixes ${a} ("${first.name}") and ${b} ("${value.name}").`, `Cast one of them.`, b);
    }
  });
  if (types.length > 0 && !inputs.some((value, i) => value && (kindsOf[i] ?? moreInputs) === 'T')) {
    for (const type of outputs) if (type) checkType(facts, type, types, 'result');
  } else if (node.opType === 'Cast' && outputs[0]) checkType(facts, outputs[0], types, 'result');
  if (node.opType === 'DequantizeLinear' && outputs[0]) checkType(facts, outputs[0], kinds.f, 'result');
  rules[node.opType]?.(facts);
}

function checkType(
  { node, parser, report }: NodeFacts,
  type: OnnxElementType,
  types: readonly string[],
  what: string,
): void {
  const name = tensorrtTypeOf(type);
  if (name !== undefined && types.includes(name)) return;
  const shown = typeName(type);
  if (type === 'DOUBLE') {
    report(`Its ${what} is DOUBLE, which ${parser} makes FP32 without asking.`, 'Compute in FP32.', shown);
    return;
  }
  const instead = types.includes('FP32') && !types.includes(shown) ? 'FP32' : types[0];
  const hint = `Cast it to ${instead}${what === 'data' ? ' in front of the node, and back behind it' : ''}.`;
  report(`Its ${what} is ${shown}, and ${parser} reads ${node.opType} of ${listTypes(types)}.`, hint, shown);
}
