import type { PackageManifest } from '../../files/manifest.ts';
import type { PlanStamp } from '../../files/plan-stamp.ts';
import type { LoopSearch } from '../../passes/fold-loop/find-loop.ts';
import type { DecoderSpec } from '../architectures/decoder-spec.ts';
import type { ExitSpec, Recursion } from '../read/source-model.ts';

/** What `rtc inspect` found. */
export type Inspection = ModelInspection | PackageInspection | OnnxInspection | GraphInspection;

/** A model as it can be compiled: no weight was read. */
export interface ModelInspection {
  readonly kind: 'model';
  readonly name: string;
  readonly architecture: Architecture;
  readonly recursion: Recursion;
  readonly lora: LoraInspection | undefined;
  readonly exits: ExitSpec | undefined;
  /** What fold-loop finds in the graph with every loop spelled out, without being told. */
  readonly loop: LoopSearch;
  readonly parameters: StoredAndUnrolled;
  /** Bytes by category. */
  readonly sizes: Sizes;
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly tensors: number }[];
  /** Bytes of weights by element type, the largest first. */
  readonly types: readonly { readonly type: string; readonly bytes: number }[];
  readonly inputs: readonly TensorInspection[];
  readonly outputs: readonly TensorInspection[];
}

export type Architecture = Pick<
  DecoderSpec,
  | 'modelType'
  | 'hiddenSize'
  | 'intermediateSize'
  | 'heads'
  | 'kvHeads'
  | 'headDim'
  | 'vocabSize'
  | 'maxPositions'
  | 'tiedEmbeddings'
>;

export interface LoraInspection {
  readonly targets: readonly string[];
  readonly alpha: number | undefined;
  /** By depth, the ranks that occur, ascending; none: the depth has no factors. */
  readonly ranks: readonly (readonly number[])[];
}

/** What the checkpoint stores, and what there would be if every loop had weights of its own. */
export interface StoredAndUnrolled {
  readonly stored: number;
  readonly unrolled: number;
}

export type Sizes = Readonly<Record<string, StoredAndUnrolled>>;

/** An input or output. An unknown dim or type of other people's models is `?`. */
export interface TensorInspection {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly (number | string)[];
}

/** A package that rtc compile wrote. */
export interface PackageInspection {
  readonly kind: 'package';
  readonly manifest: PackageManifest;
  /** Its main graph. */
  readonly graph: OnnxInspection;
  /** Engines that were built. */
  readonly plans: readonly PlanStamp[];
}

/** An .onnx file, whoever wrote it. */
export interface OnnxInspection {
  readonly kind: 'onnx';
  /** As the user named it. */
  readonly file: string;
  /** Of the file itself, without external data. */
  readonly bytes: number;
  readonly irVersion: number;
  readonly opsets: readonly { readonly domain: string; readonly version: number }[];
  readonly producer: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Nodes, bodies of control flow included. */
  readonly nodes: number;
  /** The most frequent first. ai.onnx has no name in front, other domains stand before a colon. */
  readonly operators: readonly { readonly operator: string; readonly count: number }[];
  readonly initializers: InitializerInspection;
  readonly inputs: readonly TensorInspection[];
  readonly outputs: readonly TensorInspection[];
}

export interface InitializerInspection {
  readonly count: number;
  readonly inline: { readonly count: number; readonly bytes: number };
  readonly external: readonly ExternalFile[];
  readonly types: readonly { readonly type: string; readonly count: number }[];
  /** Those used more than once, by what copies would cost, the most first. */
  readonly shared: readonly SharedInitializer[];
}

export interface ExternalFile {
  readonly location: string;
  readonly tensors: number;
  /** Bytes that the tensors cover, each once. */
  readonly bytes: number;
  /** Size of the file; undefined when it is not there. */
  readonly fileBytes: number | undefined;
}

export interface SharedInitializer {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly number[];
  readonly bytes: number;
  /** Uses by nodes that compute; casts and transposes of a weight on its way there are no use. */
  readonly uses: number;
}

/** A graph of the IR, as text. */
export interface GraphInspection {
  readonly kind: 'rtc';
  readonly file: string;
  readonly name: string;
  readonly stage: string;
  readonly operations: readonly { readonly operator: string; readonly count: number }[];
  readonly weights: { readonly count: number; readonly bytes: number };
  readonly loop: LoopSearch;
  readonly inputs: readonly TensorInspection[];
  readonly outputs: readonly TensorInspection[];
}
