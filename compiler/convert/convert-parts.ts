import type { Result } from '../../files/diagnostics.ts';
import type { SourceModel } from '../read/source-model.ts';
import type { ConvertProgress } from './convert-options.ts';
import type { Decomposing, Factorise } from './factorise.ts';
import type { PlannedMatrix } from './stored-tensors.ts';

/** What converting needs of the outside, so that tests can stand in for it. */
export interface ConvertParts {
  readonly openDecomposer: (options: {
    readonly threads?: number;
    readonly signal?: AbortSignal;
  }) => Promise<Result<Decomposing & { readonly close: () => Promise<void> | void }>>;
  /** The ranks that lose least, by key, of matrices whose singular values are given, within a number of parameters. */
  readonly allotRanks: (
    candidates: readonly {
      readonly key: string;
      readonly rows: number;
      readonly cols: number;
      readonly singular: ArrayLike<number>;
    }[],
    parameters: number,
  ) => ReadonlyMap<string, number>;
  readonly openCalibration: (
    model: SourceModel,
    text: string,
    options: CalibrationOptions,
  ) => Promise<Result<Calibration>>;
  /** What sharing does to hidden states; undefined: singular values count alike everywhere. */
  readonly measureEffects?: (
    model: SourceModel,
    matrices: readonly PlannedMatrix[],
    options: EffectOptions,
  ) => Promise<Result<readonly SharingEffect[]>>;
  /** Bytes that may still be written at a place; undefined where nobody can say. */
  readonly freeBytes: (path: string) => Promise<number | undefined>;
}

export interface EffectOptions {
  /** Path of a text to read; tokens at random without one. */
  readonly text?: string | undefined;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
}

/** What happens where the shared matrix runs in place of the original, and everything else is as it was. */
export interface SharingEffect {
  /** Of the hidden state behind the layer: ‖change‖² / ‖state‖². */
  readonly state: number;
  /** Of what the module makes: the mean of ‖change‖² over tokens. */
  readonly output: number;
}

export interface CalibrationOptions {
  readonly decomposing: Decomposing;
  /** Where what was measured waits until its matrix is taken apart; in a work folder, an interrupted call finds it again. */
  readonly folder: string;
  /** SHA-256 of each tensor of the model, by name. */
  readonly hashes: ReadonlyMap<string, string>;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
}

/** What a text says of a model's activations, for factors that are the best for them. */
export interface Calibration {
  /** Says what factors depend on, apart from the matrix: the same text, read in the same manner. */
  readonly basis: string;
  readonly factoriseOf: (matrix: PlannedMatrix) => Promise<Factorise>;
}
