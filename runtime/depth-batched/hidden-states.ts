import type { Numbers } from './numbers.ts';
import type { Pass } from './sequence.ts';
import type { StepShape } from './step-model.ts';

/** Keeps the hidden states of passes between two steps, in arrays that are used again. */
export interface HiddenStates {
  /** Copies [tokens, hidden], which the next step overwrites, into an array of the pass. */
  readonly keep: (pass: Pass, states: Numbers) => void;
  /** The pass needs its array no more. */
  readonly recycle: (pass: Pass) => void;
}

/** Arrays of single tokens are used again; a chunk of a prompt gets its own. */
export function createHiddenStates({ dtype, hiddenSize }: StepShape): HiddenStates {
  const spare: Numbers[] = [];
  return {
    keep: (pass, states) => {
      const { length } = states;
      if (pass.hidden === undefined && length === hiddenSize) pass.hidden = spare.pop();
      pass.hidden ??= dtype === 'f16' ? new Uint16Array(length) : new Float32Array(length);
      (pass.hidden as Float32Array).set(states as Float32Array);
    },
    recycle: (pass) => {
      if (pass.hidden?.length === hiddenSize) spare.push(pass.hidden);
      pass.hidden = undefined;
    },
  };
}
