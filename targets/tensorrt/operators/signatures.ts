/**
 * What an operator's inputs may be of: `T` its data, all alike, of the types that the matrix lists; `f` any float; `i`
 * INT32 or INT64; `l` INT64; `b` BOOL; `x` anything.
 */
export type InputKind = 'T' | 'f' | 'i' | 'l' | 'b' | 'x';

/** What comes out: the type of its data, a type, or `?` where attributes or bodies say it. */
export type OutputKind = 'T' | 'BOOL' | 'INT64' | '?';

export interface Signature {
  readonly inputs: readonly InputKind[];
  /** How many of them there have to be. */
  readonly required: number;
  readonly moreInputs: InputKind | undefined;
  readonly outputs: readonly OutputKind[];
  readonly moreOutputs: OutputKind | undefined;
}

/**
 * By operator, inputs and what they give: a question mark behind an input that may be left out, a star behind what may
 * come any number of times. What is not here takes one of data and gives data.
 */
const texts: Readonly<Record<string, string>> = {
  ...Object.fromEntries('Concat Einsum Max Mean Min Sum'.split(' ').map((name) => [name, 'T* > T'])),
  ...Object.fromEntries('Add And Div MatMul Mod Mul Or Pow PRelu Sub Xor'.split(' ').map((name) => [name, 'T T > T'])),
  ArgMax: 'T > INT64',
  ArgMin: 'T > INT64',
  Attention: 'T T T x? x? x? x? > T T T T',
  BatchNormalization: 'T T T T T > T',
  BlackmanWindow: 'i > ?',
  Cast: 'T > ?',
  CastLike: 'T x > ?',
  Clip: 'T T? T? > T',
  Constant: '> ?',
  ConstantOfShape: 'l > ?',
  Conv: 'T T T? > T',
  ConvTranspose: 'T T T? > T',
  CumSum: 'T i > T',
  DeformConv: 'T T T T? T? > T',
  DequantizeLinear: 'T f T? > ?',
  Dropout: 'T f? b? > T BOOL',
  Equal: 'T T > BOOL',
  Expand: 'T l > T',
  EyeLike: 'T > ?',
  Gather: 'T i > T',
  Gemm: 'T T T? > T',
  GatherElements: 'T i > T',
  GatherND: 'T i > T',
  Greater: 'T T > BOOL',
  GreaterOrEqual: 'T T > BOOL',
  GridSample: 'T T > T',
  GroupNormalization: 'T T T > T',
  GRU: 'T T T T? i? T? > T T',
  HammingWindow: 'i > ?',
  HannWindow: 'i > ?',
  If: 'b > ?*',
  InstanceNormalization: 'T T T > T',
  IsInf: 'T > BOOL',
  IsNaN: 'T > BOOL',
  LayerNormalization: 'T T T? > T T T',
  Less: 'T T > BOOL',
  LessOrEqual: 'T T > BOOL',
  Loop: 'l? b? x* > ?*',
  LSTM: 'T T T T? i? T? T? T? > T T T',
  MaxPool: 'T > T INT64',
  NonMaxSuppression: 'T T l? T? T? > INT64',
  NonZero: 'T > INT64',
  OneHot: 'x x T > T',
  Pad: 'T l? T? i? > T',
  QuantizeLinear: 'T T x? > ?',
  RandomNormal: '> ?',
  RandomNormalLike: 'x > ?',
  RandomUniform: '> ?',
  RandomUniformLike: 'x > ?',
  Range: 'T T T > T',
  ReduceL1: 'T l? > T',
  ReduceL2: 'T l? > T',
  ReduceLogSum: 'T l? > T',
  ReduceLogSumExp: 'T l? > T',
  ReduceMax: 'T l? > T',
  ReduceMean: 'T l? > T',
  ReduceMin: 'T l? > T',
  ReduceProd: 'T l? > T',
  ReduceSum: 'T l? > T',
  ReduceSumSquare: 'T l? > T',
  Reshape: 'T l > T',
  Resize: 'T f? f? l? > T',
  ReverseSequence: 'T i > T',
  RMSNormalization: 'T f > T',
  RNN: 'T T T T? i? T? > T T',
  RoiAlign: 'T T i > T',
  RotaryEmbedding: 'T T T x? > T',
  Scan: 'x* > ?*',
  Scatter: 'T i T > T',
  ScatterElements: 'T i T > T',
  ScatterND: 'T i T > T',
  Shape: 'T > INT64',
  Size: 'T > INT64',
  Slice: 'T i? i? i? i? > T',
  Split: 'T l? > T*',
  Squeeze: 'T l? > T',
  STFT: 'T i T? i? > T',
  TensorScatter: 'T T l? > T',
  Tile: 'T l > T',
  TopK: 'T l? > T INT64',
  Trilu: 'T l? > T',
  TRT_Attention: 'T T T x? i? i? > T',
  TRT_KVCacheUpdate: 'T T i? i? > T',
  Unsqueeze: 'T l? > T',
  Upsample: 'T f? > T',
  Where: 'b T T > T',
};

const plain = parse('T > T');
const own = parse('x* > ?*');
const signatures: ReadonlyMap<string, Signature> = new Map(
  Object.entries(texts).map(([name, text]) => [name, parse(text)]),
);

/** The signature of an operator that the parser reads. */
export function signatureOf(name: string): Signature {
  return signatures.get(name) ?? (name.startsWith('TRT_') || name === 'DistCollective' ? own : plain);
}

function parse(text: string): Signature {
  const [given = [], made = []] = text.split('>').map((side) => side.split(' ').filter((kind) => kind !== ''));
  const repeated = (kinds: readonly string[]) => kinds.find((kind) => kind.endsWith('*'))?.slice(0, -1);
  const listed = (kinds: readonly string[]) => kinds.filter((kind) => !kind.endsWith('*'));
  const inputs = listed(given);
  return {
    inputs: inputs.map((kind) => kind.replace('?', '')),
    required: inputs.filter((kind) => !kind.endsWith('?')).length,
    moreInputs: repeated(given),
    outputs: listed(made),
    moreOutputs: repeated(made),
  } as Signature;
}
