import type { DType } from '../../ir/dtype.ts';

/** What a config reader may ask of the checkpoint: some things a config.json does not say. */
export interface StoredTensors {
  /** The type of the tensor of that name; undefined when there is none. */
  readonly dtypeOf: (name: string) => DType | undefined;
}
