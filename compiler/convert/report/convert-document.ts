import { basename } from 'node:path';
import { linearModules } from '../../read/expected-tensors.ts';
import type { ConvertedDType, ConvertOptions } from '../convert-options.ts';
import type { ConvertedMatrix, ConvertResult } from '../convert-result.ts';
import type { ConversionEvaluation } from '../evaluate/evaluate-conversion.ts';
import { loraParameters } from './count-conversion.ts';
import { paperModel, printedSize } from './paper-sizes.ts';

/** What `rtc convert --json` prints, and what its page is drawn from. Sizes are parameters; losses are relative. */
export interface ConvertDocument {
  readonly rtc: string;
  /** The checkpoint. */
  readonly folder: string;
  readonly files: ConvertResult['files'];
  readonly model: {
    readonly name: string;
    readonly type: string;
    readonly layers: number;
    readonly hidden: number;
    readonly vocabulary: number;
  };
  readonly sharing: {
    readonly order: 'cycle' | 'sequence' | 'listed';
    readonly prelude: number;
    readonly block: number;
    /** Null where the order is listed. */
    readonly loops: number | null;
    readonly coda: number;
    /** By layer of the original, the stored layer that runs there. */
    readonly layers: readonly number[];
    /** By stored layer, the originals that it starts as the mean of. */
    readonly origins: readonly (readonly number[])[];
    readonly norms: 'shared' | 'per-depth';
  };
  /** What was asked for; null: no factors. */
  readonly lora: {
    readonly asked: { readonly rank: number | Readonly<Record<string, number>> } | { readonly parameters: number };
    readonly init: 'svd' | 'zero';
    /** Name of the calibration text; null: factors are the best for the matrices alone. */
    readonly calibration: string | null;
  } | null;
  readonly parameters: ConvertResult['parameters'];
  /** The converted model's size if every matrix that is shared had factors of one rank, each capped at its sizes. */
  readonly sizes: readonly ReportedSize[];
  /** The paper's model that has this shape and is shared like that; null: there is none. */
  readonly paper: { readonly name: string; readonly full: string } | null;
  /** ‖what is lost‖ / ‖original‖ over all matrices, Frobenius. */
  readonly relativeLoss: number;
  readonly modules: readonly ReportedModule[];
  readonly matrices: readonly ReportedMatrix[];
  readonly evaluation: ConversionEvaluation | null;
  readonly resumed: number;
  readonly seconds: number;
}

export interface ReportedSize {
  readonly rank: number;
  readonly convertedLayers: number;
  /** True for the rank that this model has, everywhere. */
  readonly own: boolean;
  /** In billions: as the paper's tables round, and what they say; where the paper has such a model. */
  readonly asPrinted?: string;
  readonly paper?: string;
}

/** All matrices of a linear module. */
export interface ReportedModule {
  readonly module: string;
  readonly rows: number;
  readonly cols: number;
  readonly matrices: number;
  readonly ranks: { readonly least: number; readonly most: number };
  readonly lora: number;
  /** What sharing lost, and what factors leave of it, of the original's norm. */
  readonly shared: number;
  readonly lost: number;
  /** The part of what sharing lost, of its squared norm, that factors bring back; null where nothing was lost. */
  readonly kept: number | null;
}

export interface ReportedMatrix extends Pick<ReportedModule, 'module' | 'rows' | 'cols' | 'shared' | 'lost' | 'kept'> {
  readonly layer: number;
  readonly stored: number;
  /** Null in a layer that is nobody else's. */
  readonly depth: number | null;
  readonly rank: number;
  readonly dtype: ConvertedDType;
  /** Frobenius norm of the original. */
  readonly norm: number;
  /** As many as were computed, six digits each; with a calibration text those of the weighted matrix. */
  readonly singular: readonly number[];
}

export interface ConvertDocumentOptions {
  readonly rtc: string;
  readonly asked: Pick<ConvertOptions, 'lora' | 'loraInit' | 'norms'>;
  readonly evaluation?: ConversionEvaluation | undefined;
}

/** Ranks that the paper uses, and none. */
const paperRanks = [0, 64, 128, 256, 512];

/** Everything that is told of a conversion. */
export function convertDocument(
  result: ConvertResult,
  { rtc, asked: { lora, loraInit = 'svd', norms = 'shared' }, evaluation }: ConvertDocumentOptions,
): ConvertDocument {
  const { source, sharing, parameters, matrices } = result;
  const { spec } = source;
  const modules = linearModules(spec).map(({ path }) => matrices.filter(({ module }) => module === path));
  const paper = paperOf(result);
  return {
    rtc,
    folder: result.folder,
    files: result.files,
    model: {
      name: source.name,
      type: spec.modelType,
      layers: sharing.layers,
      hidden: spec.hiddenSize,
      vocabulary: spec.vocabSize,
    },
    sharing: {
      order: sharing.order,
      prelude: sharing.prelude,
      block: sharing.block,
      loops: sharing.loops ?? null,
      coda: sharing.coda,
      layers: sharing.uses.map(({ stored }) => stored),
      origins: result.origins,
      norms,
    },
    lora:
      lora === undefined
        ? null
        : {
            asked: 'rank' in lora ? { rank: lora.rank } : { parameters: lora.parameters },
            init: loraInit,
            calibration: lora.calibration === undefined ? null : basename(lora.calibration),
          },
    parameters,
    sizes: sizesOf(result, paper?.sizes),
    paper: paper && { name: paper.name, full: paper.full },
    relativeLoss: result.relativeLoss,
    modules: modules.map(moduleOf),
    matrices: matrices.map(matrixOf),
    evaluation: evaluation ?? null,
    resumed: result.resumed,
    seconds: result.seconds,
  };
}

/** What the paper prints of this shape and so many loops. Its models share by cycle. */
function paperOf({ source, sharing }: ConvertResult) {
  const model = sharing.order === 'cycle' && sharing.prelude === 0 ? paperModel(source.spec) : undefined;
  const sizes = sharing.loops === undefined ? undefined : model?.sizes[sharing.loops];
  return model && sizes ? { name: model.name, full: model.full, sizes } : null;
}

function sizesOf(
  { source, matrices, parameters }: ConvertResult,
  paper: Readonly<Record<number, string>> | undefined,
): readonly ReportedSize[] {
  const { qkv } = source.spec.names;
  const shared = matrices.filter(({ depth }) => depth !== undefined);
  // The paper counts queries, keys and values apart: three adapters have the parameters of a fused one of 1.5 ranks.
  const at = (rank: number, fused: number) =>
    shared.map(({ module, rows, cols }) => {
      return { rows, cols, rank: Math.min(module === qkv ? fused : rank, rows, cols) };
    });
  const isOwn = (ranked: ReturnType<typeof at>) => ranked.every(({ rank }, i) => rank === shared[i]!.rank);
  const largest = shared.reduce((most, { rank }) => Math.max(most, rank), 0);
  const most = shared.reduce((sum, { rows, cols }) => Math.max(sum, Math.min(rows, cols)), 0);
  const ranks = [...new Set([...paperRanks, largest])].filter((rank) => rank <= most).sort((a, b) => a - b);
  const own = ranks.find((rank) => isOwn(at(rank, rank)) || isOwn(at(rank, 1.5 * rank)));
  return ranks
    .filter((rank) => paperRanks.includes(rank) || rank === own)
    .map((rank): ReportedSize => {
      const printed = paper?.[rank];
      const ranked = at(rank, rank === own && isOwn(at(rank, 1.5 * rank)) ? 1.5 * rank : rank);
      return {
        rank,
        convertedLayers: parameters.storedLayers + loraParameters(ranked),
        own: rank === own,
        ...(printed !== undefined && {
          asPrinted: printedSize({ ...parameters, lora: loraParameters(at(rank, 1.5 * rank)) }),
          paper: printed,
        }),
      };
    })
    .filter(({ convertedLayers, own: is, paper: known }) => {
      return is || known !== undefined || convertedLayers < parameters.originalLayers;
    });
}

function moduleOf(matrices: readonly ConvertedMatrix[]): ReportedModule {
  const { module, rows, cols } = matrices[0]!;
  const ranks = matrices.map(({ rank }) => rank);
  const sum = (of: 'original' | 'residual' | 'lost') => matrices.reduce((total, matrix) => total + matrix[of], 0);
  return {
    module,
    rows,
    cols,
    matrices: matrices.length,
    ranks: { least: Math.min(...ranks), most: Math.max(...ranks) },
    lora: loraParameters(matrices),
    ...losses({ original: sum('original'), residual: sum('residual'), lost: sum('lost') }),
  };
}

function matrixOf(matrix: ConvertedMatrix): ReportedMatrix {
  const { layer, stored, depth, module, rows, cols, rank, dtype, singular, original } = matrix;
  return {
    layer,
    stored,
    depth: depth ?? null,
    module,
    rows,
    cols,
    rank,
    dtype,
    ...losses(matrix),
    norm: Math.sqrt(original),
    singular: Array.from(singular, (value) => Number(value.toPrecision(6))),
  };
}

function losses({ original, residual, lost }: Pick<ConvertedMatrix, 'original' | 'residual' | 'lost'>) {
  const share = (part: number) => (original === 0 ? 0 : Math.sqrt(part / original));
  return { shared: share(residual), lost: share(lost), kept: residual === 0 ? null : 1 - lost / residual };
}
