import { listTypes, tensorrtTypeOf, typeName } from '../element-types.ts';
import { quantizedType, typeAttribute } from '../infer-types.ts';
import { attributeOf, type NodeFacts } from '../node-facts.ts';
import type { Rule } from '../rules.ts';
import { countOfDims, type Size, type ValueFacts } from '../value-facts.ts';

const quantizedTypes = ['INT8', 'FP8', 'INT4', 'FP4'] as const;

/** Quantization: types, zero points and scales. */
export const quantizationRules: Readonly<Record<string, Rule>> = {
  QuantizeLinear: (facts) => {
    const { node, inputs, parser, report } = facts;
    const made = quantizedType(node, inputs);
    const name = made === undefined ? undefined : (tensorrtTypeOf(made) ?? made);
    if (name !== undefined && !(quantizedTypes as readonly string[]).includes(name)) {
      report(
        `It makes ${name}, and ${parser} quantizes to ${listTypes(quantizedTypes)}.`,
        'Quantize to INT8, symmetrically.',
        name,
      );
    }
    if (!inputs[2] && typeAttribute(node, 'output_dtype') === undefined) {
      report(
        `It does not say what it makes: UINT8 by ONNX, INT8 to ${parser}.`,
        'Give it a zero point of INT8, or output_dtype (opset 21).',
      );
    }
    checkScales(facts);
  },
  DequantizeLinear: checkScales,
};

function checkScales(facts: NodeFacts): void {
  const { node, input, report, parser } = facts;
  const [x, scale, zero] = [input(0), input(1), input(2)];
  if (scale?.numbers?.some((factor) => !(factor > 0))) {
    report(`It has a scale that is not positive, which ${parser} refuses.`, 'Make every scale positive.');
  }
  checkZeroPoint(facts, scale, zero);
  if (x?.dims && scale?.dims) checkScaleShape(facts, x.dims, scale.dims);
  const type = x?.type && typeName(x.type);
  const made = node.opType === 'QuantizeLinear' ? quantizedType(node, facts.inputs) : x?.type;
  const count = countOfDims(x?.dims);
  if ((made === 'INT4' || made === 'FLOAT4E2M1') && count !== undefined && count % 2 === 1) {
    report(`It has ${count} elements of 4 bits, and ${parser} takes an even number.`, 'Pad one axis.', type);
  }
}

function checkZeroPoint({ parser, report }: NodeFacts, scale?: ValueFacts, zero?: ValueFacts): void {
  if (!zero) return;
  const hint = 'Quantize symmetrically: leave the zero point out, and set output_dtype (opset 21).';
  if (!zero.numbers) {
    if (zero.type === undefined || tensorrtTypeOf(zero.type) !== 'FP8') {
      report(`Whether its zero point "${zero.name}" is zero cannot be found, and ${parser} takes no other.`, hint);
    }
    return;
  }
  if (zero.numbers.some((number) => number !== 0)) report(`Its zero point is not zero, which ${parser} refuses.`, hint);
  const [points, scales] = [countOfDims(zero.dims), countOfDims(scale?.dims)];
  if (points !== undefined && scales !== undefined && points !== scales) {
    report(`It has ${points} zero points and ${scales} scales.`, 'Give every scale a zero point, or none.');
  }
}

/** One scale, one for each channel, or a scale for each block along exactly one axis. */
function checkScaleShape({ node, parser, report }: NodeFacts, x: readonly Size[], scale: readonly Size[]): void {
  const count = countOfDims(scale);
  if (count === 1 || count === undefined) return;
  const hint = 'Use one scale, one for each channel, or one for each block of one axis.';
  if (scale.length === 1) {
    const axis = attributeOf(node, 'axis', 'int') ?? 1;
    const channels = x[axis < 0 ? axis + x.length : axis];
    if (typeof channels === 'number' && channels !== count) {
      report(`It has ${count} scales for ${channels} channels.`, hint);
    }
    return;
  }
  const differing = x.flatMap((size, axis) => (scale[axis] === size ? [] : [[size, scale[axis]] as const]));
  const [size, blocks] = differing[0] ?? [undefined, undefined];
  const whole = typeof size !== 'number' || typeof blocks !== 'number' || size % blocks === 0;
  if (scale.length !== x.length || differing.length !== 1 || !whole) {
    report(`Its scales [${scale}] are no blocks along one axis of [${x}], which is all that ${parser} finds.`, hint);
  }
}
