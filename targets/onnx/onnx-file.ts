import type { WeightExpr } from '../../ir/weights.ts';

/** Which runtimes a graph is for: plain ai.onnx operators, ONNX Runtime with its own, or TensorRT's parser. */
export type Dialect = 'portable' | 'ort' | 'tensorrt';

/** An ONNX model ready to be written, with what has to lie beside it. No weight was read to make it. */
export interface OnnxFile {
  /** `model.onnx`. */
  readonly name: string;
  /** The protobuf; small, since every weight of size is external. */
  readonly bytes: Uint8Array;
  /** Checkpoint files that its external data points into, relative to the model's folder, sorted. */
  readonly linked: readonly string[];
  /** Tensors that no file has as the graph needs them; they go into `generatedFile`. */
  readonly generated: readonly GeneratedTensor[];
  /** Where the graph looks for `generated`, beside it: `generated.safetensors`. */
  readonly generatedFile: string;
}

/** A tensor that rtc makes. Its offset is already in the graph: write what layoutSafetensors says, without metadata. */
export interface GeneratedTensor {
  readonly name: string;
  readonly expr: WeightExpr;
}
