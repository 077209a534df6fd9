import type { RunOrder } from '../../files/run-order.ts';
import type { SafetensorsFile, TensorEntry } from '../../files/safetensors.ts';
import type { DecoderSpec } from '../architectures/decoder-spec.ts';

/** A model as it was read and checked: nothing in it can still be wrong, and no weight has been read. */
export interface SourceModel {
  readonly name: string;
  /** Absolute path of the folder that all other paths are relative to. */
  readonly folder: string;
  /** Path of model.json relative to `folder`; undefined for an ordinary Hugging Face folder. */
  readonly modelJson: string | undefined;
  readonly configPath: string;
  /** config.json as it stands. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly spec: DecoderSpec;
  readonly recursion: Recursion;
  readonly lora: LoraSpec | undefined;
  readonly exits: ExitSpec | undefined;
  readonly files: readonly SafetensorsFile[];
  /** By the checkpoint's own tensor names, LoRA factors included. */
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  /** tokenizer.json, generation_config.json and the like, relative to `folder`, sorted; those that exist. */
  readonly companions: readonly string[];
}

export interface SourceTensor extends TensorEntry {
  readonly file: SafetensorsFile;
}

/**
 * Which layers run how often: as they run, whatever words model.json has for it. Where no block of several repeats as a
 * whole, all layers are one block that runs once, and `layers` has some of them several times.
 */
export interface Recursion extends RunOrder {
  /**
   * The stored layers `first` … `end` − 1 may have factors and norms of their own at each use. Absent: those of the block.
   */
  readonly varying?: readonly [first: number, end: number];
  /** Norms that differ from use to use; absent: shared, as all else. */
  readonly norms?: 'per-depth';
}

export interface LoraSpec {
  readonly targets: readonly string[];
  /** The update is scaled by alpha / rank; undefined: not at all. */
  readonly alpha: number | undefined;
}

export type Confidence = 'top1' | 'margin' | 'entropy';

export interface ExitSpec {
  /** Loops, 1-based and ascending, behind which a token may leave. */
  readonly after: readonly number[];
  readonly confidence: Confidence;
  readonly threshold: number;
}
