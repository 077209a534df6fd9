import { atLeast } from '../../versions.ts';
import { listTypes } from '../element-types.ts';
import { typeAttribute } from '../infer-types.ts';
import { attributeOf, type NodeFacts } from '../node-facts.ts';
import type { Rule } from '../rules.ts';

/** Operators whose attributes, or numbers of axes, are limited. */
export const attributeRules: Readonly<Record<string, Rule>> = {
  Constant: ({ node, parser, report }) => {
    for (const name of ['sparse_value', 'value_string', 'value_strings']) {
      if (name in node.attributes) report(`It holds a ${name}, which ${parser} does not read.`, 'Use a dense tensor.');
    }
  },
  Cast: ({ node, report }) => {
    if (typeAttribute(node, 'to') !== undefined) return;
    const to = attributeOf(node, 'to', 'int');
    report(`It casts to ${to === undefined ? 'nothing' : `the element type ${to}, which nobody knows`}.`, 'Set to.');
  },
  Gelu: (facts) => oneOf(facts, 'approximate', 'none', ['none', 'tanh']),
  ScatterND: (facts) => {
    if (!atLeast(facts.version, 10, 14) && 'reduction' in facts.node.attributes) {
      facts.report(`It says reduction, which ${facts.parser} refuses in any form.`, 'Leave the attribute out.');
      return;
    }
    oneOf(facts, 'reduction', 'none', ['none']);
  },
  ScatterElements: ({ node, parser, report }) => {
    const other = Object.keys(node.attributes).find((name) => name !== 'axis' && name !== 'reduction');
    if (other !== undefined) report(`It says ${other}, and ${parser} reads only axis and reduction.`, 'Leave it out.');
  },
  LSTM: (facts) => {
    zero(facts, 'input_forget');
    zero(facts, 'layout');
    sameActivations(facts, 3);
  },
  GRU: (facts) => sameActivations(facts, 2),
  RNN: (facts) => sameActivations(facts, 1),
  Resize: (facts) => {
    oneOf(facts, 'mode', 'nearest', ['nearest', 'linear']);
    oneOf(facts, 'coordinate_transformation_mode', 'half_pixel', [
      'half_pixel',
      'pytorch_half_pixel',
      'tf_half_pixel_for_nn',
      'asymmetric',
      'align_corners',
    ]);
    oneOf(facts, 'nearest_mode', 'round_prefer_floor', ['floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil']);
    oneOf(facts, 'keep_aspect_ratio_policy', 'stretch', ['stretch']);
    zero(facts, 'antialias');
    const axes = attributeOf(facts.node, 'axes', 'ints');
    if (axes?.some((axis, i) => axis !== i)) {
      facts.report(`It names axes [${axes}], and ${facts.parser} takes all of them in order.`, 'Leave axes out.');
    }
  },
  AveragePool: pooling,
  LpPool: dense,
  MaxPool: pooling,
  GridSample: (facts) => rank(facts, [4]),
  DeformConv: (facts) => {
    rank(facts, [3, 4]);
    const pads = attributeOf(facts.node, 'pads', 'ints') ?? [];
    const half = pads.length / 2;
    if (pads.slice(0, half).some((pad, i) => pad !== pads[half + i])) {
      facts.report(`It pads unevenly, [${pads}], which ${facts.parser} does not.`, 'Pad with Pad in front of it.');
    }
  },
  Gemm: (facts) => {
    for (const index of [0, 1]) {
      const dims = facts.input(index)?.dims;
      if (dims && dims.length !== 2) {
        facts.report(`It multiplies what has ${dims.length} axes; Gemm is for matrices.`, 'Use MatMul, or Reshape.');
      }
    }
  },
};

function pooling(facts: NodeFacts): void {
  rank(facts, [4, 5]);
  dense(facts);
}

function dense(facts: NodeFacts): void {
  const dilations = attributeOf(facts.node, 'dilations', 'ints');
  if (dilations?.some((step) => step !== 1)) {
    facts.report(`It dilates, [${dilations}], which ${facts.parser} does not.`, 'Leave dilations out.');
  }
}

function rank({ input, parser, report }: NodeFacts, wanted: readonly number[]): void {
  const x = input(0);
  if (!x || (x.dims && wanted.includes(x.dims.length))) return;
  const found = x.dims ? `has ${x.dims.length} axes` : 'has nobody knows how many axes';
  report(`Its input "${x.name}" ${found}, and ${parser} takes ${listTypes(wanted.map(String))}.`, 'Reshape it.');
}

function oneOf({ node, parser, report }: NodeFacts, name: string, otherwise: string, known: readonly string[]): void {
  const found = attributeOf(node, name, 'string') ?? otherwise;
  if (known.includes(found)) return;
  report(`Its ${name} is "${found}", and ${parser} reads ${listTypes(known)}.`, `Choose another ${name}.`);
}

function zero({ node, parser, report }: NodeFacts, name: string): void {
  const found = attributeOf(node, name, 'int');
  if (found) report(`Its ${name} is ${found}, and ${parser} reads only 0.`, `Set ${name} to 0.`);
}

/** Activations of both directions, which have to be the same. */
function sameActivations({ node, parser, report }: NodeFacts, count: number): void {
  const names = attributeOf(node, 'activations', 'strings');
  if (attributeOf(node, 'direction', 'string') !== 'bidirectional' || !names) return;
  if (names.slice(0, count).every((name, i) => name === names[count + i])) return;
  report(`Its two directions have other activations, ${names.join(', ')}, which ${parser} refuses.`, 'Use the same.');
}
