import type { Malformed } from './malformed/change.ts';
import { malformedConfig } from './malformed/config.ts';
import { malformedExits } from './malformed/exits.ts';
import { malformedIndexFile } from './malformed/index-file.ts';
import { malformedJson } from './malformed/json.ts';
import { malformedLora } from './malformed/lora.ts';
import { malformedPaths } from './malformed/paths.ts';
import { malformedPlaces } from './malformed/place.ts';
import { malformedRotary } from './malformed/rotary.ts';
import { malformedStructure } from './malformed/structure.ts';
import { malformedWeights } from './malformed/weights.ts';

/** Inputs that are wrong in every way that a user, a disk or an attacker may think of. */
export const malformed: readonly Malformed[] = [
  ...malformedPlaces,
  ...malformedJson,
  ...malformedStructure,
  ...malformedExits,
  ...malformedLora,
  ...malformedPaths,
  ...malformedIndexFile,
  ...malformedWeights,
  ...malformedConfig,
  ...malformedRotary,
];
