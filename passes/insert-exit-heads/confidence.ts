import type { Op, Value } from '../../ir/graph.ts';
import { unreachable } from '../../ir/invariant.ts';
import type { Additions } from '../additions.ts';

/**
 * What is compared with the exit threshold: the largest probability, the largest less the second, or
 * 1 − entropy / ln vocab. All lie between 0 and 1.
 */
export type Confidence = 'top1' | 'margin' | 'entropy';

/**
 * Operations, added to `ops`, that make the confidence [.., ] of logits [.., VOCAB].
 * @param best i64 [.., ]: place of the largest logit, if it is known. Where there may be no logits at all it has to be:
 * ONNX Runtime's TopK divides by their number, and the process ends.
 */
export function addConfidence(
  kind: Confidence,
  logits: Value,
  add: Additions,
  scope: string,
  ops: Op[],
  best?: Value,
): Value {
  const axis = logits.type.dims.length - 1;
  const vocab = logits.type.dims[axis] as number;
  const { dtype } = logits.type;
  const one = <K extends Op>(op: K): Value => {
    ops.push(op);
    return op.results[0]!;
  };
  switch (kind) {
    case 'top1': {
      const probabilities = one(add.op('softmax', [logits], { axis }, scope, 'probabilities'));
      return one(add.op('reduce_max', [probabilities], { axis, keep: false }, scope, 'confidence'));
    }
    case 'margin': {
      const probabilities = one(add.op('softmax', [logits], { axis }, scope, 'probabilities'));
      if (best) {
        const first = one(add.op('reduce_max', [probabilities], { axis, keep: false }, scope, 'best.first'));
        const places = one(add.op('iota', [], { size: vocab }, scope, 'places'));
        const dims = [...best.type.dims, 1];
        const place = one(add.op('reshape', [best], { dims }, scope, 'best.place'));
        const isBest = one(add.op('equal', [places, place], {}, scope, 'is_best'));
        const none = one(add.op('constant', [], { dtype, dims: [], values: [0] }, scope, 'none'));
        const others = one(add.op('where', [isBest, none, probabilities], {}, scope, 'others'));
        const second = one(add.op('reduce_max', [others], { axis, keep: false }, scope, 'best.second'));
        return one(add.op('sub', [first, second], {}, scope, 'confidence'));
      }
      const both = one(add.op('top_k', [probabilities], { k: 2 }, scope, 'best'));
      const first = one(add.op('select', [both], { axis, index: 0 }, scope, 'best.first'));
      const second = one(add.op('select', [both], { axis, index: 1 }, scope, 'best.second'));
      return one(add.op('sub', [first, second], {}, scope, 'confidence'));
    }
    case 'entropy': {
      // With d = logit − largest logit and s = Σ exp d, entropy is ln s − Σ d·exp d / s: no logarithm of a zero.
      const largest = one(add.op('reduce_max', [logits], { axis, keep: true }, scope, 'largest'));
      const distances = one(add.op('sub', [logits, largest], {}, scope, 'distances'));
      const powers = one(add.op('exp', [distances], {}, scope, 'powers'));
      const sum = one(add.op('reduce_sum', [powers], { axis, keep: false }, scope, 'powers.sum'));
      const weighted = one(add.op('mul', [powers, distances], {}, scope, 'weighted'));
      const total = one(add.op('reduce_sum', [weighted], { axis, keep: false }, scope, 'weighted.sum'));
      const mean = one(add.op('div', [total, sum], {}, scope, 'weighted.mean'));
      const entropy = one(add.op('sub', [one(add.op('log', [sum], {}, scope, 'log_sum')), mean], {}, scope, 'entropy'));
      const scale = { dtype, dims: [], values: [Math.fround(1 / Math.log(vocab))] };
      const scaled = one(
        add.op('mul', [entropy, one(add.op('constant', [], scale, scope, 'per_nat'))], {}, scope, 'entropy.scaled'),
      );
      const unit = one(add.op('constant', [], { dtype, dims: [], values: [1] }, scope, 'one'));
      return one(add.op('sub', [unit, scaled], {}, scope, 'confidence'));
    }
    default:
      return unreachable(kind);
  }
}
