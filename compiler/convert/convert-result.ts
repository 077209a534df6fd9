import type { SharedLayers } from '../../convert/sharing.ts';
import type { SourceModel } from '../read/source-model.ts';
import type { ConvertedDType } from './convert-options.ts';

/** What {@link convert} made, and what it lost. */
export interface ConvertResult {
  /** Absolute path of the checkpoint. */
  readonly folder: string;
  /** Every file of it, relative, sorted. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  /** The model that it was made from. */
  readonly source: SourceModel;
  readonly sharing: SharedLayers;
  /** For each stored layer the originals that it is the mean of (one: a copy). */
  readonly origins: readonly (readonly number[])[];
  /** Every linear module at every layer of the original, layers in order, modules in the order in which they run. */
  readonly matrices: readonly ConvertedMatrix[];
  /** Parameters, not bytes. Layers are all layers, norms and biases included; embeddings, final norm and head are not. */
  readonly parameters: {
    readonly originalLayers: number;
    /** Of the stored layers, factors not included. */
    readonly storedLayers: number;
    readonly lora: number;
    /** storedLayers + lora: what the paper calls non-embedding parameters, and convert.py block_parameters. */
    readonly convertedLayers: number;
    readonly other: number;
  };
  /** ‖what is lost‖ / ‖original‖ over all matrices, Frobenius, with everything rounded as it was written. */
  readonly relativeLoss: number;
  /** How many matrices an earlier call had finished. */
  readonly resumed: number;
  /** Seconds of the whole call. */
  readonly seconds: number;
}

/** A linear module at a layer of the original, and what became of it. */
export interface ConvertedMatrix {
  /** Layer of the original, which is the layer in the order in which the converted model runs. */
  readonly layer: number;
  readonly stored: number;
  /** How often the stored layer ran before; undefined where a layer is nobody else's. */
  readonly depth: number | undefined;
  /** `self_attn.q_proj` */
  readonly module: string;
  /** Outputs of the module. */
  readonly rows: number;
  /** Inputs of the module. */
  readonly cols: number;
  /** Of the factors that were written; 0: none. */
  readonly rank: number;
  readonly dtype: ConvertedDType;
  /**
   * Singular values of what sharing lost, descending: as many as were computed, which are at least `rank` (with
   * calibration those of the weighted matrix). Empty where nothing was computed.
   */
  readonly singular: Float64Array;
  /** Frobenius norms squared: of the original, of what sharing lost, and of what is lost still. */
  readonly original: number;
  readonly residual: number;
  readonly lost: number;
}
