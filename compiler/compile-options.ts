import type { Diagnostic } from '../files/diagnostics.ts';
import type { DebugMessage, PassRecord } from '../passes/run-passes.ts';
import type { Dialect } from '../targets/onnx/onnx-file.ts';
import type { EngineReport } from './tensorrt/build/engine-report.ts';
import type { TensorrtOptions } from './tensorrt/tensorrt-options.ts';

export type Form = 'depth-batched' | 'loop' | 'unrolled';

/** The form that is compiled where none is asked for: what rtc is for. */
export const defaultForm: Form = 'depth-batched';

export type Precision = 'f32' | 'f16' | 'bf16';
export type LoraStrategy = 'auto' | 'bake' | 'keep' | 'concatenate' | 'gather';
export type Layout = 'rtc' | 'huggingface';

/** `onnx`: graphs for any runtime. `tensorrt`: graphs and engines. `triton`: a model repository around either. */
export type Target = 'onnx' | 'tensorrt' | 'triton';

/** What `rtc compile` is asked for. Every option has the flag of the same name. */
export interface CompileOptions {
  /** A model.json, a folder that holds one, or a Hugging Face folder. */
  readonly model: string;
  /** `onnx` by default. */
  readonly target?: Target;
  /** `depth-batched` by default. */
  readonly form?: Form;
  /** Positions of a page, a multiple of 16; 64 by default (form `depth-batched`). */
  readonly pageSize?: number;
  /**
   * In how many groups rows attend, 1 to 16, each as wide as its longest row; 1 by default (form `depth-batched`). More
   * are faster where what all rows look back at is larger than the cache of the processor, and slower where it is not.
   */
  readonly attentionGroups?: number;
  /** `portable` by default; the target `tensorrt` has one of its own. */
  readonly dialect?: Dialect;
  /** What the target `tensorrt` is asked for. */
  readonly tensorrt?: TensorrtOptions;
  /** Environment in which outside tools are looked for and run; that of the process by default. */
  readonly env?: NodeJS.ProcessEnv;
  /** Folder to write; `./<name>-<form>` by default. An existing package there is replaced, anything else refused. */
  readonly out?: string;
  readonly precision?: Precision;
  readonly lora?: LoraStrategy;
  /** Adds an output `exit_logits.{n}` for every exit (form `unrolled`). */
  readonly exitLogits?: boolean;
  /** Writes all weights in the type they are computed in, instead of pointing into the checkpoint's files. */
  readonly writeWeights?: boolean;
  readonly layout?: Layout;
  /** Writes bindings.ts beside the graph. */
  readonly bindings?: boolean;
  /** Copies the checkpoint's files even where they could be hard-linked: for tools that refuse files with two names. */
  readonly copyWeights?: boolean;
  /** Hashes linked weights too, not only their headers. */
  readonly checksum?: boolean;
  /** Verifies the graph after every pass; on by default. */
  readonly verifyEach?: boolean;
  /** Stops behind this pass, writing no package; the graph's text is in the result. */
  readonly stopAfter?: string;
  /** Receives the graph's text after every pass, in order: `00-source`, `01-fold-loop` … */
  readonly onDump?: (name: string, text: string) => void;
  /** What RTC_DEBUG shows, by level. */
  readonly onDebug?: (message: DebugMessage) => void;
  readonly onDiagnostic?: (diagnostic: Diagnostic) => void;
  readonly onProgress?: (progress: Progress) => void;
  /** Aborting leaves nothing behind; the result is then a failure with the code `interrupted`. */
  readonly signal?: AbortSignal;
}

/** Where a long call is. */
export interface Progress {
  /** `read`, a pass's name, `lower`, `link`, `write` … */
  readonly step: string;
  /** Bytes or items; undefined where there is nothing to count. */
  readonly done?: number;
  readonly total?: number;
  /** What `done` and `total` count. */
  readonly unit?: 'bytes' | 'passes';
}

export interface CompileResult {
  /** Absolute path of the package; undefined when `stopAfter` kept it from being written. */
  readonly folder: string | undefined;
  /** Every file of the package, relative, sorted. */
  readonly files: readonly CompiledFile[];
  readonly passes: readonly PassRecord[];
  /** The graph's text behind `stopAfter`. */
  readonly stopped: string | undefined;
  /** What became of engines; undefined for targets without any, and with `stopAfter`. */
  readonly engines: EngineReport | undefined;
}

export interface CompiledFile {
  readonly path: string;
  readonly bytes: number;
  /** True for the checkpoint's own bytes, linked or copied. */
  readonly linked: boolean;
}
