import type { StepShape } from '../../../runtime/depth-batched/step-model.ts';

/**
 * A model that is a rule instead of a network. Every number is a hash, exact in float32, of all that it may depend on: a
 * key of token, position, layer and depth; a state of all entries in view and of their order. One wrong page, position,
 * state or depth, and what is generated is something else from there on.
 */
export interface FakeModel {
  readonly shape: StepShape;
  /** New entries of a stored layer for a token [kv_heads · head_dim]; `depth` -1 outside of the block. */
  readonly entry: (kind: 'key' | 'value', layer: number, depth: number, state: State, position: number) => State;
  /** Behind a layer that has seen entries in `view`. */
  readonly behind: (layer: number, depth: number, state: State, view: number) => State;
  /** What has been seen, one entry more. */
  readonly look: (view: number, key: State, value: State) => number;
  readonly embed: (token: number) => State;
  /** [vocabulary], no two alike. */
  readonly logits: (state: State) => Float32Array;
  readonly confidence: (state: State) => number;
}

/** Whole numbers from 0 to before 2^24. */
export type State = ArrayLike<number>;

export function fakeModel(changes: Partial<StepShape> = {}): FakeModel {
  const shape: StepShape = {
    prelude: 0,
    block: 2,
    loops: 3,
    coda: 0,
    hiddenSize: 2,
    vocabulary: 23,
    kvHeads: 2,
    headDim: 2,
    pageSize: 4,
    groups: 1,
    neverEmpty: false,
    dtype: 'f32',
    exits: [1, 2],
    ...changes,
  };
  const width = shape.kvHeads * shape.headDim;
  const list = (size: number, from: number) => {
    const numbers = new Float64Array(size);
    for (let i = 0; i < size; i++) numbers[i] = finish(mix(from, i));
    return numbers;
  };
  const mixAll = (from: number, state: State) => {
    let all = from;
    for (let i = 0; i < state.length; i++) all = mix(all, state[i]!);
    return all;
  };
  return {
    shape,
    embed: (token) => list(shape.hiddenSize, mix(1, token)),
    entry: (kind, layer, depth, state, position) => {
      return list(width, mixAll(mix(mix(mix(kind === 'key' ? 2 : 3, layer), depth), position), state));
    },
    look: (view, key, value) => mixAll(mixAll(view, key), value),
    behind: (layer, depth, state, view) => list(shape.hiddenSize, mixAll(mix(mix(mix(4, layer), depth), view), state)),
    logits: (state) => Float32Array.from(list(shape.vocabulary, mixAll(5, state)), (number) => number / 2 ** 22),
    confidence: (state) => finish(mixAll(6, state)) / 2 ** 24,
  };
}

/** A round of murmur3. */
function mix(hash: number, number: number): number {
  const k = Math.imul(number | 0, 0xcc9e2d51);
  const mixed = hash ^ Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** Its end, cut to 24 bits. */
function finish(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 8;
}
