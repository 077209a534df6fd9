import type { StepRecord } from './contestant.ts';
import { medianOf, sumOf } from './statistics.ts';

/** Decoding steps of the steady state. */
export interface SteadyState {
  readonly steps: readonly StepRecord[];
  readonly tokens: number;
  readonly milliseconds: number;
  /** Mean exit loop of the tokens. */
  readonly meanExit: number;
  /** Rows that did work, a step. */
  readonly rowsPerStep: number;
  readonly headsPerStep: number;
  /** Medians of a step, inside ONNX Runtime and outside. */
  readonly run: number;
  readonly host: number;
  /** All time outside ONNX Runtime over all time. */
  readonly hostShare: number;
}

/** Steps that count for the steady state: decoding ones, of those in which every row could be used. */
export function steadySteps(steps: readonly StepRecord[]): readonly StepRecord[] {
  return steps.filter(({ kind, steady }) => kind === 'decode' && steady);
}

/** Undefined when there was no such step, or no token in them. */
export function steadyState(all: readonly StepRecord[]): SteadyState | undefined {
  const steps = steadySteps(all);
  const exits = steps.flatMap(({ tokens }) => tokens.map(({ exit }) => exit));
  if (exits.length === 0) return undefined;
  const milliseconds = sumOf(steps.map(({ duration }) => duration));
  return {
    steps,
    tokens: exits.length,
    milliseconds,
    meanExit: sumOf(exits) / exits.length,
    rowsPerStep: sumOf(steps.map(workingRows)) / steps.length,
    headsPerStep: sumOf(steps.map(({ heads }) => heads)) / steps.length,
    run: medianOf(steps.map(({ run }) => run)),
    host: medianOf(steps.map(({ duration, run }) => duration - run)),
    hostShare: sumOf(steps.map(({ duration, run }) => duration - run)) / milliseconds,
  };
}

/** Rows of a step that were not there for the shape only. */
export function workingRows({ rows }: StepRecord): number {
  return rows.filter(({ role }) => role !== 'idle').length;
}
