import { resolve } from 'node:path';
import type { ConvertOptions } from './convert-options.ts';
import type { ConvertedMatrix, ConvertResult } from './convert-result.ts';
import type { DecomposedMatrix } from './decompose-residuals.ts';
import type { Conversion } from './plan-conversion.ts';
import { loraParameters } from './report/count-conversion.ts';

/** What a conversion came to. */
export function describeResult(
  { model, shared, origins, parameters }: Conversion,
  decomposed: readonly DecomposedMatrix[],
  { out, files, resumed, seconds }: Pick<ConvertOptions, 'out'> & Pick<ConvertResult, 'files' | 'resumed' | 'seconds'>,
): ConvertResult {
  const matrices = decomposed.map(({ matrix, rank, dtype, singular, original, residual, lost }): ConvertedMatrix => {
    const { layer, use, module, rows, cols } = matrix;
    return { layer, ...use, module, rows, cols, rank, dtype, singular, original, residual, lost };
  });
  const lora = loraParameters(matrices);
  const sum = (of: 'lost' | 'original') => matrices.reduce((total, matrix) => total + matrix[of], 0);
  return {
    folder: resolve(out),
    files,
    source: model,
    sharing: shared,
    origins,
    matrices,
    parameters: {
      originalLayers: parameters.original,
      storedLayers: parameters.stored,
      lora,
      convertedLayers: parameters.stored + lora,
      other: parameters.other,
    },
    relativeLoss: Math.sqrt(sum('lost') / sum('original')),
    resumed,
    seconds,
  };
}
