import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';

/** One call of a decoder: new tokens for every row of a batch. */
export interface Call {
  readonly batch: number;
  /** New columns. */
  readonly sequence: number;
  /** [batch, sequence]; whatever is valid stands at padding. */
  readonly ids: Float64Array;
  /** [batch, sequence]: 1 where there is a token, 0 at padding. */
  readonly attended: Float64Array;
}

/** Calls that follow each other on one cache, with a name for people. */
export interface Run {
  readonly name: string;
  readonly calls: readonly Call[];
}

/** An input of a graph: dims may have names in them. */
export interface InputType {
  readonly name: string;
  readonly dtype: Tensor['dtype'];
  readonly dims: readonly (number | string)[];
}

/** A decoder with a cache that it is handed and hands back, whoever computes it. */
export interface Decoder {
  readonly inputs: readonly InputType[];
  readonly run: (feeds: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>;
}

/** Sizes by the names of dims, as inputs have them: `rows`, `tokens`, `past+sequence`. */
export type Sizes = Readonly<Record<string, number>>;

/** Sizes that a decoder takes, ends included. A dim that is not named may be of any size. */
export interface SizeRange {
  readonly least: Sizes;
  readonly most: Sizes;
}

/** A decoder that somebody has to close. */
export interface OpenDecoder extends Decoder {
  readonly close: () => Promise<void>;
  /** Ranges that a call may lie in, the one to try first in front; undefined: every size will do. */
  readonly sizes?: () => readonly SizeRange[];
}

/** Whether feeds have sizes that lie in a range. */
export function liesIn(
  { least, most }: SizeRange,
  inputs: Decoder['inputs'],
  feeds: ReadonlyMap<string, Pick<Tensor, 'shape'>>,
): boolean {
  return inputs.every(({ name, dims }) =>
    dims.every((dim, axis) => {
      const size = feeds.get(name)?.shape[axis] ?? 0;
      return typeof dim === 'number' || (size >= (least[dim] ?? 0) && size <= (most[dim] ?? Number.POSITIVE_INFINITY));
    }),
  );
}

/** A call with no padding. */
export function plainCall(ids: readonly (readonly number[])[]): Call {
  const sequence = ids[0]?.length ?? 0;
  const attended = new Float64Array(ids.length * sequence).fill(1);
  return { batch: ids.length, sequence, ids: Float64Array.from(ids.flat()), attended };
}

/** Makes the calls of a run one after the other, each seeing what the earlier ones left in the cache. */
export interface Stepper {
  /** All outputs of the decoder. */
  readonly step: (call: Call) => Promise<ReadonlyMap<string, Tensor>>;
  /** [batch, past + sequence] of the last call, row by row. */
  readonly attended: () => readonly Float64Array[];
}

/** @param settings further inputs, the same for all calls: max_loops and exit_threshold */
export function startRun(decoder: Decoder, settings: ReadonlyMap<string, Tensor> = new Map()): Stepper {
  let attended: readonly Float64Array[] = [];
  let cache: ReadonlyMap<string, Tensor> | undefined;
  return {
    attended: () => attended,
    async step(call) {
      const { batch, sequence } = call;
      const before = attended;
      const past = before[0]?.length ?? 0;
      attended = Array.from({ length: batch }, (_, b) =>
        Float64Array.of(...(before[b] ?? []), ...call.attended.subarray(b * sequence, (b + 1) * sequence)),
      );
      const sizes: Readonly<Record<string, number>> = { batch, sequence, past };
      const made = new Map<string, Tensor>([
        ['input_ids', makeTensor('i64', [batch, sequence], call.ids)],
        [
          'attention_mask',
          makeTensor(
            'i64',
            [batch, past + sequence],
            attended.flatMap((row) => [...row]),
          ),
        ],
        [
          'position_ids',
          makeTensor(
            'i64',
            [batch, sequence],
            attended.flatMap((row) => positions(row).slice(past)),
          ),
        ],
      ]);
      const feeds = decoder.inputs.map(({ name, dtype, dims }) => {
        const empty = () =>
          makeTensor(
            dtype,
            dims.map((dim) => (typeof dim === 'number' ? dim : (sizes[dim] ?? 0))),
          );
        return [name, made.get(name) ?? settings.get(name) ?? cache?.get(name) ?? empty()] as const;
      });
      const outputs = await decoder.run(new Map(feeds));
      cache = new Map([...outputs].map(([name, tensor]) => [name.replace(/^present\./, 'past_key_values.'), tensor]));
      return outputs;
    },
  };
}

/** Where each token of a row stands among its tokens; 0 at padding in front of them. */
function positions(attended: Float64Array): number[] {
  let seen = 0;
  return Array.from(attended, (token) => {
    seen += token;
    return Math.max(seen - 1, 0);
  });
}

/** Hears what is being run, and where a run of many steps is. */
export type OnRun = (name: string, done?: number, total?: number) => void;
