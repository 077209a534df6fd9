import { makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import { type NodeKernel, refuse } from './node-call.ts';

/**
 * com.microsoft's RotaryEmbedding: x [B, S, H·D] or [B, H, S, D], position_ids [B, S] (or [1], where the first token
 * is), and tables [positions, R] of which each token takes the row of its position.
 */
export const rotaryEmbedding: NodeKernel = ({ input, int }) => {
  const [x, positions, cos, sin] = [input(0), input(1), input(2), input(3)];
  const half = cos.shape[1]!;
  const flat = x.shape.length === 3;
  const [batch, sequence] = flat ? [x.shape[0]!, x.shape[1]!] : [x.shape[0]!, x.shape[2]!];
  const heads = flat ? headsOf(x.shape[2]!, int('num_heads', 0), int('rotary_embedding_dim', 0), half) : x.shape[1]!;
  const width = flat ? x.shape[2]! / heads : x.shape[3]!;
  if (2 * half > width) return refuse(`rotates ${2 * half} of ${width} dimensions`);
  const interleaved = int('interleaved', 0) !== 0;
  const result = makeTensor(x.dtype, x.shape, x.data.slice());
  for (let b = 0; b < batch; b++) {
    for (let s = 0; s < sequence; s++) {
      const position = positions.data.length === 1 ? positions.data[0]! + s : positions.data[b * sequence + s]!;
      if (!(position >= 0 && position < cos.shape[0]!)) refuse(`has no table row for position ${position}`);
      for (let h = 0; h < heads; h++) {
        const at = flat ? ((b * sequence + s) * heads + h) * width : ((b * heads + h) * sequence + s) * width;
        rotateHead(result.data, at, { cos, sin, row: position * half, half, interleaved });
      }
    }
  }
  return [result];
};

interface Rotation {
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** Where in the tables the angles start, and how many there are. */
  readonly row: number;
  readonly half: number;
  /** Neighbours turn together instead of one half with the other. */
  readonly interleaved: boolean;
}

/** Turns one head in place. */
function rotateHead(data: Float64Array, at: number, { cos, sin, row, half, interleaved }: Rotation): void {
  for (let r = 0; r < half; r++) {
    const first = interleaved ? at + 2 * r : at + r;
    const second = interleaved ? first + 1 : first + half;
    const [x, y, c, s] = [data[first]!, data[second]!, cos.data[row + r]!, sin.data[row + r]!];
    data[first] = x * c - y * s;
    data[second] = y * c + x * s;
  }
}

/** How many heads lie side by side: told by the node, or by the tables when all of a head turns. */
function headsOf(hidden: number, heads: number, rotated: number, half: number): number {
  if (heads > 0) return heads;
  return rotated > 0 ? refuse('rotates part of a head without num_heads') : hidden / (2 * half);
}
