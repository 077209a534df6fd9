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

/** How often which layers run; see model.json. */
export interface Recursion {
  readonly prelude: number;
  readonly block: number;
  readonly loops: number;
  readonly coda: number;
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
