import type { ConvertOptions } from '../../compiler/convert/convert-options.ts';
import type { ConvertParts } from '../../compiler/convert/convert-parts.ts';
import type { ConvertResult } from '../../compiler/convert/convert-result.ts';
import { convertWith } from '../../compiler/convert/convert-with.ts';
import { success } from '../../files/diagnostics.ts';
import { exactDecomposer } from './exact-decomposer.ts';

/** The exact decomposer, room without end, and no calibration; a budget takes what lies in front of its end. */
export function exactParts(changes: Partial<ConvertParts> = {}): ConvertParts {
  return {
    openDecomposer: async () => success(exactDecomposer()),
    allotRanks: () => {
      throw new Error('no ranks are to be found here');
    },
    openCalibration: () => {
      throw new Error('no text is to be read here');
    },
    freeBytes: async () => undefined,
    ...changes,
  };
}

/** Converts exactly; fails with what is said when that is refused. */
export async function converted(options: ConvertOptions, parts: ConvertParts = exactParts()): Promise<ConvertResult> {
  const result = await convertWith(options, parts);
  if (!result.ok) throw new Error(result.diagnostics.map(({ code, message }) => `${code}: ${message}`).join('\n'));
  return result.value;
}
