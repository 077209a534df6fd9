import { atLeast } from '../../versions.ts';
import { fromFront } from '../infer-dims.ts';
import { attributeOf, type NodeFacts } from '../node-facts.ts';
import type { Rule } from '../rules.ts';

/** No version selects more of an axis than this, less one. */
const topKLimit = 3840;

/** Operators that have to know an input before the graph runs. */
export const constantInputRules: Readonly<Record<string, Rule>> = {
  ...Object.fromEntries(
    'L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare'
      .split(' ')
      .map((name) => [`Reduce${name}`, (facts: NodeFacts) => needGiven(facts, 1, 'axes')]),
  ),
  CumSum: (facts) => needSince(facts, 1, 'axis', 14),
  Squeeze: (facts) => needSince(facts, 1, 'axes', 14),
  Unsqueeze: (facts) => needSince(facts, 1, 'axes', 14),
  Slice: (facts) => {
    if (!atLeast(facts.version, 10, 3)) needGiven(facts, 3, 'axes');
  },
  Pad: (facts) => {
    if (!atLeast(facts.version, 10, 4)) needGiven(facts, 3, 'axes');
  },
  OneHot: (facts) => needComputed(facts, 1, 'depth'),
  STFT: (facts) => {
    needGiven(facts, 1, 'frame_step');
    needGiven(facts, 2, 'window');
  },
  Dropout: (facts) => {
    const training = facts.input(2);
    if (!training) return;
    needGiven(facts, 2, 'training_mode');
    if (training.numbers?.[0]) {
      facts.report(`It drops at random, which ${facts.parser} does not.`, 'Export the model for inference.');
    }
  },
  TopK: (facts) => {
    const { node, parser, report } = facts;
    if (attributeOf(node, 'sorted', 'int') === 0) {
      report(`It wants its results unsorted, and ${parser} only sorts them.`, 'Set sorted to 1.');
    }
    const x = facts.input(0);
    const k = facts.input(1);
    const limit = `${parser} takes fewer than ${topKLimit} elements of an axis`;
    const hint = 'Take fewer, or look for them in two steps.';
    if (k?.numbers) {
      const asked = k.numbers[0]!;
      if (asked >= topKLimit) report(`It takes ${asked}, and ${limit}.`, hint);
      return;
    }
    const size = x?.dims?.[fromFront(attributeOf(node, 'axis', 'int') ?? -1, x.dims.length)];
    if (typeof size !== 'number' || size >= topKLimit) {
      report(`How many it takes is known only when the graph runs, and ${limit}.`, 'Make K a constant.');
    }
  },
  Hardmax: (facts) => {
    const dims = facts.input(0)?.dims;
    const size = dims?.[fromFront(attributeOf(facts.node, 'axis', 'int') ?? -1, dims.length)];
    if (typeof size === 'number') return;
    facts.report(
      `It looks along an axis whose size is known only when the graph runs, and ${facts.parser} has to know it.`,
      'Give the axis a fixed size.',
    );
  },
  EyeLike: (facts) => {
    if (facts.input(0)?.dims?.every((size) => typeof size === 'number')) return;
    facts.report(`The sizes of its input are not all numbers, and ${facts.parser} has to know them.`, 'Fix the sizes.');
  },
};

/** For what has to be an initializer, or a Constant. */
function needGiven({ input, parser, report }: NodeFacts, index: number, name: string): void {
  const value = input(index);
  if (!value || value.constant === 'given') return;
  report(`Its ${name} "${value.name}" is computed, and ${parser} reads only an initializer there.`, constantHint(name));
}

/** For what may also be made of initializers. */
function needComputed({ input, parser, report }: NodeFacts, index: number, name: string): void {
  const value = input(index);
  if (!value || value.constant) return;
  report(
    `Its ${name} "${value.name}" is known only when the graph runs, and ${parser} has to know it before.`,
    constantHint(name),
  );
}

/** For what had to be an initializer before 10.`minor`. */
function needSince(facts: NodeFacts, index: number, name: string, minor: number): void {
  if (atLeast(facts.version, 10, minor)) needComputed(facts, index, name);
  else needGiven(facts, index, name);
}

function constantHint(name: string): string {
  return `Make ${name} an initializer.`;
}
