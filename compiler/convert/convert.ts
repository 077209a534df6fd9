import { allotRanks } from '../../convert/allot/allot-ranks.ts';
import { openDecomposer } from '../../convert/decompose/decomposer.ts';
import type { Result } from '../../files/diagnostics.ts';
import { measureEffects } from './calibrate/measure-effects.ts';
import { openCalibration } from './calibrate/open-calibration.ts';
import { freeBytes } from './check-space.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { ConvertResult } from './convert-result.ts';
import { convertWith } from './convert-with.ts';

/**
 * Makes a recursive checkpoint of an ordinary one: shares its layers, and makes up with low-rank factors for what that
 * lost. Writes a folder that `compile` takes, with model.json, config.json, weights and tokenizer; whole, or not at all.
 *
 * Everything that is wrong with model, options or disk is told before anything is written; all weights are read for
 * that. Matrices that are finished are kept in a folder beside `out` until the end: where the call is interrupted or
 * fails, the same call goes on from there. Two matrices of the model are in memory, and what decomposing takes.
 */
export function convert(options: ConvertOptions): Promise<Result<ConvertResult>> {
  return convertWith(options, {
    openDecomposer,
    allotRanks,
    openCalibration,
    measureEffects,
    freeBytes,
  });
}
