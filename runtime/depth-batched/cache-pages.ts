import type { PackageManifest } from '../../files/manifest.ts';
import { invariant } from '../../ir/invariant.ts';
import type { HostTensor } from '../session.ts';
import { type Numbers, numbersOf } from './numbers.ts';
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
}

/** The pages of all layers, made once, lying where ONNX Runtime reads them. */
export interface CachePages {
  /** key_pages.{i}, value_pages.{i} */
  readonly feeds: Readonly<Record<string, HostTensor>>;
  readonly bytes: number;
  /**
   * Copies new entries into pages.
   * @param tokens of a row of the outputs, padding included
   */
  readonly write: (outputs: Readonly<Record<string, HostTensor>>, tokens: number, copies: readonly EntryCopy[]) => void;
}

interface Layer {
  readonly part: EntryCopy['part'];
  readonly tensors: readonly { readonly output: string; readonly pages: Numbers }[];
}

/** Makes pages for all layers of a package; both counts include page 0, which nothing is written to. */
export function cachePages(
  shape: StepShape,
  layers: PackageManifest['cache']['layers'],
  pageCount: number,
  boundaryPageCount: number,
): CachePages {
  const { kvHeads, pageSize, headDim, dtype } = shape;
  const pageLength = kvHeads * pageSize * headDim;
  const feeds: Record<string, HostTensor> = {};
  let bytes = 0;
  const made = layers.map(({ part }, i): Layer => {
    const count = part === 'block' ? pageCount : boundaryPageCount;
    const tensors = (['key', 'value'] as const).map((kind) => {
      const pages = dtype === 'f16' ? new Uint16Array(count * pageLength) : new Float32Array(count * pageLength);
      feeds[`${kind}_pages.${i}`] = { type: dtype, dims: [count, kvHeads, pageSize, headDim], data: pages };
      bytes += pages.byteLength;
      return { output: `new_${kind}.${i}`, pages };
    });
    return { part, tensors };
  });

  const plan = copyPlan(shape);
  /** Pages that hold numbers that are not finite, by part. They are wiped when somebody starts to fill them again. */
  const spoilt = { block: new Set<number>(), prelude: new Set<number>(), coda: new Set<number>() };

  const write: CachePages['write'] = (outputs, tokens, copies) => {
    for (const part of ['prelude', 'block', 'coda'] as const) {
      const own = copies.filter((copy) => copy.part === part);
      if (own.length === 0) continue;
      const tensors = made.flatMap((layer) => (layer.part === part ? layer.tensors : []));
      const spoiltHere = spoilt[part];
      if (spoiltHere.size > 0) {
        for (const page of startedPages(own, pageSize)) {
          if (!spoiltHere.delete(page)) continue;
          for (const { pages } of tensors) pages.fill(0, page * pageLength, (page + 1) * pageLength);
        }
      }
      plan.make(own, tokens);
      let finite = true;
      for (const { output, pages } of tensors) {
        if (!plan.run(numbersOf(outputs[output]!.data), pages)) finite = false;
      }
      if (!finite) for (const page of touchedPages(own, pageSize)) spoiltHere.add(page);
    }
  };
  return { feeds, bytes, write };
}

/** Runs of numbers to copy, which are the same for all layers of a part. */
function copyPlan({ kvHeads, pageSize, headDim, dtype }: StepShape) {
  // Offsets go beyond 32 bits, and doubles are exact far enough.
  let from = new Float64Array(256);
  let to = new Float64Array(256);
  let sizes = new Float64Array(256);
  let count = 0;
  const add = (source: number, target: number, size: number) => {
    if (count === from.length) [from, to, sizes] = [doubled(from), doubled(to), doubled(sizes)];
    from[count] = source;
    to[count] = target;
    sizes[count] = size;
    count++;
  };
  return {
    make(copies: readonly EntryCopy[], tokens: number): void {
      count = 0;
      for (const copy of copies) {
        for (let done = 0; done < copy.tokens; ) {
          const position = copy.position + done;
          const slot = position % pageSize;
          const entries = Math.min(pageSize - slot, copy.tokens - done);
          const page = copy.pages[(position - slot) / pageSize];
          invariant(page !== undefined && page > 0, `position ${position} has no page`);
          for (let head = 0; head < kvHeads; head++) {
            const source = ((copy.row * kvHeads + head) * tokens + copy.firstToken + done) * headDim;
            add(source, ((page * kvHeads + head) * pageSize + slot) * headDim, entries * headDim);
          }
          done += entries;
        }
      }
    },
    /** Copies, and says whether all numbers were finite. */
    run(source: Numbers, target: Numbers): boolean {
      return dtype === 'f16' ? runBits(source, target) : runFloats(source, target);
    },
  };

  // Runs are as short as a head, for which a loop is faster than a call of `set` with two views made for it.
  function runFloats(source: Numbers, target: Numbers): boolean {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const size = sizes[i]!;
      const [a, b] = [from[i]!, to[i]!];
      for (let j = 0; j < size; j++) {
        const number = source[a + j]!;
        target[b + j] = number;
        // 0 as long as all are finite, else NaN.
        sum += number - number;
      }
    }
    return sum === 0;
  }

  function runBits(source: Numbers, target: Numbers): boolean {
    let finite = true;
    for (let i = 0; i < count; i++) {
      const size = sizes[i]!;
      const [a, b] = [from[i]!, to[i]!];
      for (let j = 0; j < size; j++) {
        const bits = source[a + j]!;
        target[b + j] = bits;
        if ((bits & 0x7c00) === 0x7c00) finite = false;
      }
    }
    return finite;
  }
}

function doubled(array: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(2 * array.length);
  larger.set(array);
  return larger;
}

/** Pages whose first place is written: nobody else has entries in them. */
function startedPages(copies: readonly EntryCopy[], pageSize: number): readonly number[] {
  return copies.flatMap(({ pages, position, tokens }) => {
    const first = Math.ceil(position / pageSize);
    return pages.slice(first, Math.ceil((position + tokens) / pageSize));
  });
}

function touchedPages(copies: readonly EntryCopy[], pageSize: number): readonly number[] {
  return copies.flatMap(({ pages, position, tokens }) =>
    pages.slice(Math.floor(position / pageSize), Math.ceil((position + tokens) / pageSize)),
  );
}
