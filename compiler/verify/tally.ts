import type { Tensor } from '../../ir/interpret/tensor.ts';
import { compareTensors } from './compare-tensors.ts';
import type { Difference, OutputReport } from './verify-report.ts';

/** An output of the package beside what it should be. */
export interface Compared {
  readonly output: string;
  readonly run: string;
  readonly actual: Tensor;
  readonly expected: Tensor;
  /** Names of the axes, for people. */
  readonly axes: readonly string[];
  /** Which rows along the last axis are specified; all by default. */
  readonly counts?: (coordinates: readonly number[]) => boolean;
  /** In parts of the largest expected magnitude; 0 for integers. */
  readonly tolerance: number;
  /** What the tolerance is in parts of, where it is not the largest expected magnitude. */
  readonly unit?: number;
  /** Whether the last axis is a vocabulary. */
  readonly isLogits?: boolean;
}

/** Collects comparisons, by output. */
export interface Tally {
  readonly add: (compared: Compared) => void;
  /** Adds what was compared elsewhere. */
  readonly addReport: (report: OutputReport, difference: Difference | undefined) => void;
  readonly outputs: () => readonly OutputReport[];
  readonly differences: () => readonly Difference[];
}

interface Running {
  maxAbs: number;
  maxRel: number;
  tolerance: number;
  positions: number;
  agreeing: number;
  isLogits: boolean;
}

export function createTally(): Tally {
  const running = new Map<string, Running>();
  const reports = new Map<string, OutputReport>();
  const differences = new Map<string, Difference>();
  return {
    add({ output, run, actual, expected, axes, counts = () => true, tolerance, unit, isLogits = false }) {
      const known = running.get(output) ?? { maxAbs: 0, maxRel: 0, tolerance, positions: 0, agreeing: 0, isLogits };
      running.set(output, known);
      if (`${actual.shape}` !== `${expected.shape}`) {
        known.maxAbs = Number.POSITIVE_INFINITY;
        known.maxRel = Number.POSITIVE_INFINITY;
        if (differences.has(output)) return;
        const shapes = { actual: actual.shape, expected: expected.shape };
        const nowhere = { index: [], actual: Number.NaN, expected: Number.NaN, allowed: 0 };
        differences.set(output, { output, run, axes, ...nowhere, shapes });
        return;
      }
      const found = compareTensors(actual, expected, counts, tolerance, unit);
      known.maxAbs = Math.max(known.maxAbs, found.maxAbs);
      // Nothing but zeros expected: any difference is as large as can be.
      const relative = found.maxAbs === 0 ? 0 : found.maxAbs / found.scale;
      known.maxRel = Math.max(known.maxRel, relative);
      known.positions += found.positions;
      known.agreeing += found.agreeing;
      if (found.first && !differences.has(output)) {
        differences.set(output, {
          output,
          run,
          axes,
          ...found.first,
          allowed: tolerance * found.scale,
          shapes: undefined,
        });
      }
    },
    addReport(report, difference) {
      reports.set(report.name, report);
      if (difference) differences.set(report.name, difference);
    },
    outputs: () => [
      ...[...running].map(([name, r]) => ({
        name,
        maxAbs: finite(r.maxAbs),
        maxRel: finite(r.maxRel),
        tolerance: r.tolerance,
        argmaxAgreement: r.isLogits && r.positions > 0 ? r.agreeing / r.positions : null,
        ok: !differences.has(name),
      })),
      ...reports.values(),
    ],
    differences: () => [...differences.values()],
  };
}

function finite(x: number): number | null {
  return Number.isFinite(x) ? x : null;
}
