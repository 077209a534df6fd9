import { invariant } from '../invariant.ts';
import { dot } from './products.ts';
import { formatShape, makeTensor, type Tensor } from './tensor.ts';

/** x / sqrt(mean(x²) + epsilon) · scale over the last axis. */
export function rmsNorm(x: Tensor, scale: Tensor, epsilon: number): Tensor {
  const width = x.shape.at(-1)!;
  const data = new Float64Array(x.data.length);
  for (let row = 0; row < data.length; row += width) {
    const factor = 1 / Math.sqrt(dot(x.data, row, x.data, row, width) / width + epsilon);
    for (let i = 0; i < width; i++) data[row + i] = x.data[row + i]! * factor * scale.data[i]!;
  }
  return { dtype: x.dtype, shape: x.shape, data };
}

/** (x − mean) / sqrt(variance + epsilon) · scale + bias over the last axis. */
export function layerNorm(x: Tensor, scale: Tensor, bias: Tensor | undefined, epsilon: number): Tensor {
  const width = x.shape.at(-1)!;
  const data = new Float64Array(x.data.length);
  for (let row = 0; row < data.length; row += width) {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += x.data[row + i]!;
    const mean = sum / width;
    let squares = 0;
    for (let i = 0; i < width; i++) squares += (x.data[row + i]! - mean) ** 2;
    const factor = 1 / Math.sqrt(squares / width + epsilon);
    for (let i = 0; i < width; i++) {
      data[row + i] = (x.data[row + i]! - mean) * factor * scale.data[i]! + (bias ? bias.data[i]! : 0);
    }
  }
  return { dtype: x.dtype, shape: x.shape, data };
}

/** Rotates dimensions 0 … 2R−1 of each head, half against half: x [B, H, S, D], cos and sin [B, S, R]. */
export function rotary(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const [batch, heads, sequence, width] = x.shape as [number, number, number, number];
  const half = cos.shape[2]!;
  const data = x.data.slice();
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let s = 0; s < sequence; s++) {
        const at = ((b * heads + h) * sequence + s) * width;
        const angle = (b * sequence + s) * half;
        for (let r = 0; r < half; r++) {
          const [first, second] = [x.data[at + r]!, x.data[at + half + r]!];
          const [c, d] = [cos.data[angle + r]!, sin.data[angle + r]!];
          data[at + r] = first * c - second * d;
          data[at + half + r] = second * c + first * d;
        }
      }
    }
  }
  return { dtype: x.dtype, shape: x.shape, data };
}

/**
 * softmax(scale · q · kᵀ) · v: q [B, H, S, D], k [B, KV, T, D], v [B, KV, T, E], mask [B, 1, S, T].
 * Keys that a query does not see take no part in its sums, so padding cannot change a bit of the result.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: number): Tensor {
  const [batch, heads, sequence, width] = q.shape as [number, number, number, number];
  const [, kvHeads, total, out] = v.shape as [number, number, number, number];
  invariant(k.shape[3] === width && k.shape[2] === total, `cannot attend from ${formatShape(q)} to ${formatShape(k)}`);
  const result = makeTensor(q.dtype, [batch, heads, sequence, out]);
  const weights = new Float64Array(total);
  const seen = new Int32Array(total);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const kv = b * kvHeads + Math.floor((h * kvHeads) / heads);
      for (let s = 0; s < sequence; s++) {
        const row = (b * heads + h) * sequence + s;
        const count = visibleKeys(mask.data, (b * sequence + s) * total, seen);
        let largest = Number.NEGATIVE_INFINITY;
        for (let n = 0; n < count; n++) {
          const score = scale * dot(q.data, row * width, k.data, (kv * total + seen[n]!) * width, width);
          weights[n] = score;
          largest = Math.max(largest, score);
        }
        if (count > 0) softmaxInPlace(weights, count, largest);
        else weights.fill(1 / total);
        for (let n = 0; n < (count || total); n++) {
          const from = (kv * total + (count > 0 ? seen[n]! : n)) * out;
          const weight = weights[n]!;
          for (let e = 0; e < out; e++) result.data[row * out + e]! += weight * v.data[from + e]!;
        }
      }
    }
  }
  return result;
}

/** Puts the keys that a row of the mask lets through first in `seen`, and counts them. */
function visibleKeys(mask: Float64Array, row: number, seen: Int32Array): number {
  let count = 0;
  for (let j = 0; j < seen.length; j++) if (mask[row + j] !== 0) seen[count++] = j;
  return count;
}

function softmaxInPlace(weights: Float64Array, count: number, largest: number): void {
  let sum = 0;
  for (let n = 0; n < count; n++) {
    weights[n] = Math.exp(weights[n]! - largest);
    sum += weights[n]!;
  }
  for (let n = 0; n < count; n++) weights[n]! /= sum;
}
