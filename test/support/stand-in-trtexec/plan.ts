import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { ReadProfile } from '../trtexec-command-line.ts';

/** What stands in a "plan" of the stand-in: JSON behind a line that says what it is. */
export interface StandInPlan {
  readonly version: string;
  readonly computeCapability: string;
  readonly versionCompatible: boolean;
  readonly hardwareCompatible: boolean;
  /** Path as on the command line; the file is looked for beside the plan, and where it was at the time of the build. */
  readonly onnx: string;
  readonly onnxFolder: string;
  readonly onnxSha256: string;
  readonly arguments: readonly string[];
  readonly profiles: readonly ReadProfile[];
}

const firstLine = 'A plan of the stand-in for trtexec that rtc is tested with. No engine of TensorRT.\n';

export function encodePlan(plan: StandInPlan): string {
  return `${firstLine}${JSON.stringify(plan, undefined, 1)}\n`;
}

/** Undefined: no plan of the stand-in, or not a whole one. */
export function decodePlan(text: string): StandInPlan | undefined {
  if (!text.startsWith(firstLine)) return undefined;
  try {
    return JSON.parse(text.slice(firstLine.length)) as StandInPlan;
  } catch {
    return undefined;
  }
}

/** The model that the plan at `path` was built from; undefined when it is gone or another one. */
export function modelOf(plan: StandInPlan, path: string): string | undefined {
  const places = [join(dirname(path), basename(plan.onnx)), resolve(plan.onnxFolder, plan.onnx)];
  return places.find((place) => {
    try {
      return sha256(readFileSync(place)) === plan.onnxSha256;
    } catch {
      return false;
    }
  });
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
