import type { InitialBlock } from '../../convert/initial-block.ts';
import type { SharingName } from '../../convert/sharing.ts';
import type { Progress } from '../compile-options.ts';

/** What {@link convert} is asked for. */
export interface ConvertOptions {
  /** A Hugging Face folder, or a model.json whose block runs once: a model without loops. */
  readonly model: string;
  /** How often the shared block runs, from 2; not to be given with a `sharing` that lists layers, which says it. */
  readonly loops?: number | undefined;
  /**
   * Which stored layer each layer becomes. `cycle` (default): the block runs as a whole, again and again; `sequence`:
   * each of its layers runs `loops` times in a row. `middle-`: the first and the last layer stay their own. A list says
   * for each layer of the original which stored layer it becomes, from 0.
   */
  readonly sharing?: SharingName | readonly number[] | undefined;
  /** What the shared layers start as (default: `average`). */
  readonly init?: InitialBlock | undefined;
  /** Instead of `init`: for each layer of the block the original that it is a copy of, from 0. */
  readonly layers?: readonly number[] | undefined;
  /** Norms of the block: `shared` (default) like the matrices, or `per-depth`: each original's own. */
  readonly norms?: 'shared' | 'per-depth' | undefined;
  /** Low-rank factors that make up for what sharing lost; none by default. */
  readonly lora?: LoraRanks | LoraBudget | undefined;
  /** `svd` (default): the best factors of each rank; `zero`: factors that change nothing yet, to be trained. */
  readonly loraInit?: 'svd' | 'zero' | undefined;
  /** The type of every tensor that is written; by default each keeps the original's. */
  readonly dtype?: ConvertedDType | undefined;
  /** The folder to make; must not exist. */
  readonly out: string;
  /** Throws away what an interrupted call with the same `out` has left, instead of going on from there. */
  readonly restart?: boolean | undefined;
  /** Threads of ONNX Runtime; all cores by default. */
  readonly threads?: number | undefined;
  /** A shard is at most this large, unless one tensor is larger; 5 GB by default, as Hugging Face has it. */
  readonly shardBytes?: number | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
  /** Aborting keeps what is finished for the next call; the result is then a failure with the code `interrupted`. */
  readonly signal?: AbortSignal | undefined;
}

export type ConvertedDType = 'f32' | 'f16' | 'bf16';

/** Ranks that are given. Each is capped at the sizes of its matrix; 0 is no factors. */
export interface LoraRanks {
  /**
   * One for all, or by selector, where the last one that fits counts: `*` is everything, `mlp.down_proj`, `down_proj`
   * or `mlp` are modules, `depth_1` is a depth, `depth_1/mlp` both.
   */
  readonly rank: number | Readonly<Record<string, number>>;
  /** A text file: factors are then the best for what the model's activations are on it, not for the matrices alone. */
  readonly calibration?: string | undefined;
}

/**
 * Ranks that are found: those with which hidden states change least at a given size, as far as the effects of single
 * matrices say, which are measured on the calibration text, or without one on tokens at random.
 */
export interface LoraBudget {
  /** Size of all stored layers, factors included, as a share of the original's layers: 0.6. */
  readonly parameters: number;
  /** See {@link LoraRanks}. */
  readonly calibration?: string | undefined;
}

/** Where a conversion is. */
export interface ConvertProgress extends Progress {
  /** What is being worked on: `layer 2 of 11, mlp.down_proj at depth 1`. */
  readonly detail?: string;
  /** What the rest of this step should take, by the work that is done; undefined while nothing is. */
  readonly secondsLeft?: number;
}
