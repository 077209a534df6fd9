import { invariant } from '../../ir/invariant.ts';
import type { Numbers } from './numbers.ts';
import type { StepShape } from './step-model.ts';

/** Entries to copy out of new_key.{i} and new_value.{i} [rows, kv_heads, tokens, head_dim]. */
export interface EntryCopy {
  readonly part: 'block' | 'prelude' | 'coda';
  /** Row of these outputs, and its first token. */
  readonly row: number;
  readonly firstToken: number;
  readonly tokens: number;
  /** Pages of the sequence, and the position of the first entry. */
  readonly pages: readonly number[];
  readonly position: number;
  /** Whether they are finite numbers. */
  readonly finite: boolean;
}

/** Where numbers go that are at the same places in every layer: worked out once, then done layer by layer. */
export interface CopyPlan {
  /** @param tokens of a row of the outputs, padding included */
  readonly make: (copies: readonly EntryCopy[], tokens: number) => void;
  /** From the new entries of a layer into its pages [page_count, kv_heads, page_size, head_dim]. */
  readonly run: (from: Numbers, to: Numbers) => void;
}

/**
 * Runs of numbers are as short as a head, for which a loop is faster than a call of `set` with a view made for it. The
 * loop takes eight bytes at a time, as a double, where heads allow it: a double keeps the bits of what is no NaN, and
 * finite numbers of 16 or 32 bits side by side are none, as a NaN's upper bits would be one of theirs.
 */
export function copyPlan({ kvHeads, pageSize, headDim, dtype }: StepShape): CopyPlan {
  const perDouble = dtype === 'f16' ? 4 : 2;
  const wide = headDim % perDouble === 0;
  const length = wide ? headDim / perDouble : headDim;
  // In entries: whole numbers of 32 bits, and so are the loop's.
  let sources = new Int32Array(256);
  let targets = new Int32Array(256);
  let sizes = new Int32Array(256);
  let count = 0;

  const add = (source: number, target: number, size: number) => {
    if (count === sources.length) [sources, targets, sizes] = [twice(sources), twice(targets), twice(sizes)];
    sources[count] = source;
    targets[count] = target;
    sizes[count] = size;
    count++;
  };

  const copy = (from: Numbers | Float64Array, to: Numbers | Float64Array) => {
    for (let i = 0; i < count; i++) {
      const source = sources[i]! * length;
      const target = targets[i]! * length;
      const size = sizes[i]! * length;
      let j = 0;
      // Eight loads, then eight stores: twice as fast as one by one, since pages are rarely in a cache.
      for (; j + 7 < size; j += 8) {
        const s = source + j;
        const t = target + j;
        const a = from[s]!;
        const b = from[s + 1]!;
        const c = from[s + 2]!;
        const d = from[s + 3]!;
        const e = from[s + 4]!;
        const f = from[s + 5]!;
        const g = from[s + 6]!;
        const h = from[s + 7]!;
        to[t] = a;
        to[t + 1] = b;
        to[t + 2] = c;
        to[t + 3] = d;
        to[t + 4] = e;
        to[t + 5] = f;
        to[t + 6] = g;
        to[t + 7] = h;
      }
      for (; j < size; j++) to[target + j] = from[source + j]!;
    }
  };

  return {
    make: (copies, tokens) => {
      count = 0;
      for (const { row, firstToken, tokens: entries, pages, position: first } of copies) {
        for (let done = 0; done < entries; ) {
          const slot = (first + done) % pageSize;
          const some = Math.min(pageSize - slot, entries - done);
          const page = pages[(first + done - slot) / pageSize];
          invariant(page !== undefined && page > 0, `position ${first + done} has no page`);
          for (let head = 0; head < kvHeads; head++) {
            const source = (row * kvHeads + head) * tokens + firstToken + done;
            add(source, (page * kvHeads + head) * pageSize + slot, some);
          }
          done += some;
        }
      }
    },
    run: (from, to) => {
      if (!wide) copy(from, to);
      else if (from.byteOffset % 8 === 0) copy(doubles(from), doubles(to));
      // Nobody has said where the binding puts its results.
      else copy(doubles(from.slice()), doubles(to));
    },
  };
}

function doubles({ buffer, byteOffset, byteLength }: Numbers): Float64Array {
  return new Float64Array(buffer, byteOffset, byteLength / 8);
}

function twice(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}
