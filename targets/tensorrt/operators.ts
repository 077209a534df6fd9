import type { TensorrtType } from './operators/element-types.ts';
import { atLeast, type TensorrtVersion } from './versions.ts';

/** An operator that TensorRT's parser reads. */
export interface Operator {
  /** What its data may be of. */
  readonly types: readonly TensorrtType[];
  /** The first version whose parser reads it, where that is not the oldest one. */
  readonly since?: TensorrtVersion;
}

const floats = ['FP32', 'FP16', 'BF16'] as const;
const halves = ['FP32', 'FP16'] as const;
const numbers = [...floats, 'INT32', 'INT64'] as const;
const anything = [...numbers, 'BOOL'] as const;
const constants = [...floats, 'FP8', 'FP4', 'INT4', 'INT32', 'INT64', 'BOOL'] as const;

/**
 * Operators by what their data may be of: the matrix that TensorRT 11.1 documents. What 10.0, 10.1, 10.14 and 10.16
 * document besides, and what changelogs say, is in the lists of what came later.
 */
const documented: readonly (readonly [types: readonly TensorrtType[], operators: string])[] = [
  [
    numbers,
    'Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Max Min Mod Mul Neg Pad ' +
      'Pow Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ' +
      'ReduceSumSquare Relu Scatter ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum TopK',
  ],
  [
    floats,
    'Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv ConvTranspose Cos Cosh CumSum ' +
      'Dropout Einsum Elu Erf Exp Floor Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization GRU ' +
      'HardSigmoid HardSwish Hardmax ImageScaler InstanceNormalization IsInf LayerNormalization LeakyRelu Log LogSoftmax ' +
      'LRN LSTM LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization ParametricSoftplus PRelu QuantizeLinear ' +
      'RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal Resize RMSNormalization RNN ' +
      'RotaryEmbedding Round ScaledTanh Scan Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ' +
      'ThresholdedRelu Upsample',
  ],
  [
    anything,
    'Concat Expand EyeLike Flatten Gather GatherElements GatherND Identity If Loop OneHot Reshape ReverseSequence Shape ' +
      'Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where',
  ],
  [halves, 'BlackmanWindow DeformConv GridSample HammingWindow HannWindow Mish NonMaxSuppression NonZero RoiAlign'],
  [['BOOL'], 'And Not Or Xor'],
  [['FP32'], 'STFT'],
  [[...floats, 'INT8', 'FP8'], 'Attention'],
  [[...floats, 'INT32', 'INT64', 'UINT8', 'BOOL'], 'Cast CastLike'],
  [constants, 'Constant ConstantOfShape'],
  [['INT8', 'FP8', 'FP4', 'INT4'], 'DequantizeLinear'],
  [[...floats, 'INT8', 'INT32', 'INT64'], 'Gelu'],
  [[...floats, 'FP8', 'INT32', 'INT64'], 'Mean'],
  [[...floats, 'INT32'], 'TensorScatter'],
  [floats, 'TRT_Attention TRT_KVCacheUpdate'],
];

/** Operators of TensorRT's own; what their data may be of is for their own documentation to say. */
const own =
  'TRT_QuantizedAttention TRT_MoE TRT_FP8QuantizeLinear TRT_FP8DequantizeLinear TRT_INT4QuantizeLinear ' +
  'TRT_INT4DequantizeLinear TRT_MXFP8QuantizeLinear TRT_MXFP8DequantizeLinear TRT_MXFP8DynamicQuantize ' +
  'TRT_FP4DynamicQuantize TRT_DynamicQuantize TRT_BlockQuantize TRT_BlockDequantize DistCollective TRT_Gather TRT_Slice ' +
  'TRT_Resize TRT_MatMul TRT_Scale TRT_Shuffle TRT_TopK_Min TRT_RaggedSoftmax TRT_MaxAverageBlendPool TRT_FloorDiv ' +
  'TRT_Conv TRT_Deconv TRT_MaxPool TRT_AveragePool TRT_PluginV2';

/** The first version that has an operator, by its number or, for those that no changelog tells, by its documentation. */
const since: Readonly<Record<string, readonly [major: number, minor: number]>> = {
  DeformConv: [10, 1],
  BlackmanWindow: [10, 4],
  HammingWindow: [10, 4],
  HannWindow: [10, 4],
  STFT: [10, 5],
  Attention: [10, 14],
  RMSNormalization: [10, 15],
  RotaryEmbedding: [10, 15],
  TensorScatter: [10, 15],
  DistCollective: [10, 16],
  Swish: [11, 0],
};

/** Types that came to an operator later: below the version they are refused. */
const laterTypes: readonly {
  readonly operator: string;
  readonly types: readonly TensorrtType[];
  readonly since: readonly [major: number, minor: number];
}[] = [
  { operator: 'ConstantOfShape', types: ['FP16', 'BF16', 'INT32', 'INT64', 'BOOL'], since: [10, 1] },
  // Documented for 10.14 and not for 10.1; nothing between them was looked at.
  { operator: 'ConstantOfShape', types: ['FP8', 'FP4', 'INT4'], since: [10, 14] },
  { operator: 'Constant', types: ['FP8', 'FP4', 'INT4'], since: [10, 14] },
  { operator: 'DequantizeLinear', types: ['FP4'], since: [10, 14] },
  { operator: 'Pow', types: ['INT32', 'INT64'], since: [10, 14] },
  // Documented for 10.0 as well, whose importer refuses it.
  { operator: 'Range', types: ['FP16', 'BF16'], since: [10, 14] },
];

/** Operators of ONNX that no version reads. */
const unread = new Set(
  (
    'AffineGrid Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Col2Im CenterCropPad Compress ' +
    'ConcatFromSequence ConvInteger DFT Det DynamicQuantizeLinear ImageDecoder MatMulInteger MaxRoiPool MaxUnpool ' +
    'MelWeightMatrix Multinomial NegativeLogLikelihoodLoss Optional OptionalGetElement OptionalHasElement QLinearConv ' +
    'QLinearMatMul RegexFullMatch SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength ' +
    'SequenceMap SoftmaxCrossEntropyLoss SplitToSequence StringConcat StringNormalizer StringSplit TfIdfVectorizer Unique'
  ).split(' '),
);

/** Every operator that some version reads, by name: the parser does not look at domains. */
export const operators: ReadonlyMap<string, Operator> = new Map([
  ...documented.flatMap(([types, names]) => names.split(' ').map((name) => [name, operator(name, types)] as const)),
  ...own.split(' ').map((name) => [name, operator(name, [])] as const),
]);

/** Whether it is an operator of ONNX that no version of TensorRT reads. */
export function isUnread(name: string): boolean {
  return unread.has(name);
}

/** Whether the parser of a version reads it. */
export function isRead({ since }: Operator, version: TensorrtVersion): boolean {
  return since === undefined || atLeast(version, since.major, since.minor);
}

/** What the data of an operator may be of in a version. */
export function typesIn(name: string, { types }: Operator, version: TensorrtVersion): readonly TensorrtType[] {
  const later = laterTypes.filter(
    ({ operator: of, since: [major, minor] }) => of === name && !atLeast(version, major, minor),
  );
  return types.filter((type) => !later.some((entry) => entry.types.includes(type)));
}

function operator(name: string, types: readonly TensorrtType[]): Operator {
  const [major, minor] = since[name] ?? (name.startsWith('TRT_') ? [11, 0] : []);
  return { types, ...(major !== undefined && minor !== undefined && { since: { major, minor } }) };
}
