import type { Graph, Op, Value } from '../../ir/graph.ts';
import { type DialectSpec, dialects } from './dialects.ts';
import { type LoweringContext, lowerings } from './lowerings.ts';
import type { Dialect, OnnxFile } from './onnx-file.ts';
import type { OnnxModel } from './onnx-model.ts';
import { onnxWeights } from './onnx-weights.ts';
import { type OnnxWriter, onnxWriter, valueInfo } from './onnx-writer.ts';
import { encodeModel } from './proto.ts';

export interface OnnxOptions {
  readonly dialect: Dialect;
  /** What the dialect is made of where that is not always the same; what {@link dialects} says by default. */
  readonly spec?: DialectSpec;
  /** `model.onnx`. */
  readonly fileName: string;
  /** Version of rtc, for people who wonder what made the file. */
  readonly version: string;
  /** What else the model says about itself, in this order; nothing that differs from machine to machine. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Generates every weight in the type it is computed in, and points into no checkpoint. */
  readonly materialize?: boolean;
  /** Where tensors will lie that no file has; {@link generatedFile} by default. */
  readonly generatedFile?: string;
  /** Another graph of the package: what is generated for both is made once, and lies where that graph has it. */
  readonly beside?: Pick<OnnxFile, 'generated' | 'generatedFile'>;
}

/** Where tensors lie that rtc makes. */
export const generatedFile = 'generated.safetensors';

/** A graph as an ONNX file. Reads no weight; the same graph gives the same bytes. */
export function lowerToOnnx(graph: Graph<'lowered'>, options: OnnxOptions): OnnxFile {
  const { model, ...files } = lowerToModel(graph, options);
  return { name: options.fileName, bytes: encodeModel(model), ...files };
}

/** As {@link lowerToOnnx}, before it becomes bytes. */
export function lowerToModel(
  graph: Graph<'lowered'>,
  options: Omit<OnnxOptions, 'fileName'>,
): Pick<OnnxFile, 'linked' | 'generated' | 'generatedFile'> & { readonly model: OnnxModel } {
  const { dialect, version, metadata, materialize = false, beside } = options;
  const generatedIn = options.generatedFile ?? generatedFile;
  const spec = options.spec ?? dialects[dialect];
  const { opset, irVersion, domains } = spec;
  const writer = onnxWriter(graph);
  const weights = onnxWeights(writer, graph.weights, { generatedFile: generatedIn, materialize, beside });
  const context = loweringContext(spec, writer, weights);
  context.lower(graph.ops);
  for (const { name, value } of graph.outputs) {
    // An input, a weight, or a value that is another output as well.
    if (context.name(value) !== name) writer.addNamed('Identity', [context.name(value)], name);
  }
  const { linked, generated, initializers } = weights.finish();
  const list = writer.finish();
  const model: OnnxModel = {
    irVersion,
    opsets: [{ domain: '', version: opset }, ...domains.map((domain) => ({ domain, version: 1 }))],
    producerName: 'rtc',
    producerVersion: version,
    docString: '',
    metadata,
    graph: {
      name: graph.name,
      docString: '',
      nodes: list.nodes,
      initializers: [...list.initializers, ...initializers],
      inputs: graph.inputs.map((input) => valueInfo(input.name, input)),
      outputs: graph.outputs.map(({ name, value }) => valueInfo(name, value)),
      valueInfo: list.valueInfo,
    },
  };
  return { model, linked, generated, generatedFile: generatedIn };
}

function loweringContext(
  spec: DialectSpec,
  writer: OnnxWriter,
  weights: ReturnType<typeof onnxWeights>,
): LoweringContext {
  let biases: ReadonlyMap<Value, string> = new Map();
  const context: LoweringContext = {
    spec,
    writer,
    name: (value) => weights.nameOf(value) ?? writer.nameOf(value),
    beforeCast: weights.beforeCast,
    biasOf(mask, build) {
      const bias = biases.get(mask) ?? build();
      biases = new Map(biases).set(mask, bias);
      return bias;
    },
    lower(ops) {
      // What a loop's body makes is of no use outside.
      const outside = biases;
      for (const op of ops) {
        // The table pairs each kind with its lowering, which TypeScript cannot follow through a union.
        const lowering = lowerings[op.kind] as (op: Op, context: LoweringContext) => void;
        writer.inScope(op.scope, () => lowering(op, context));
      }
      biases = outside;
    },
  };
  return context;
}
