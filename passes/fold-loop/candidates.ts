import type { Anchor } from './anchors.ts';
import type { Flow } from './flow.ts';
import type { Interval } from './interval.ts';
import { type Miss, nameOp } from './miss.ts';
import { type Ends, endsAfter, type Lost, type Starts, startsBefore } from './path.ts';

/** A way in which a block could begin and end. */
export interface Candidate {
  /** The value before every repetition, then the one after the last. */
  readonly boundary: readonly number[];
  /** The elements that a body with this boundary can save at most. */
  readonly potential: number;
}

export interface Candidates {
  readonly candidates: readonly Candidate[];
  /** Why some places between repetitions are no candidates: before the first or after the last is nothing alike. */
  readonly without: Miss | undefined;
}

/** Boundaries for repetitions that each use a weight in one of `uses`, with `intervals` between them; the most promising first. */
export function candidatesOf(
  flow: Flow,
  uses: readonly number[],
  intervals: readonly Interval[],
  anchors: readonly Anchor[],
): Candidates {
  const interval = intervals[0]!;
  const loops = uses.length;
  const starts = startsBefore(flow, interval, uses[1]!);
  const ends = endsAfter(flow, interval, uses.at(-1)!);
  const boundaries: number[][] = [];
  interval.cuts.forEach((_, cut) => {
    const start = starts.values[cut];
    if (start === undefined) return;
    const between = intervals.map(({ cuts }) => cuts[cut]!);
    for (const end of ends.values[cut]!) boundaries.push([start, ...between, end]);
  });

  const startsBy = firstNeededBy(
    flow,
    boundaries.map((boundary) => boundary[0]!),
  );
  const endsBy = firstNeededBy(
    flow,
    boundaries.map((boundary) => boundary.at(-1)!),
  );
  const potentials = new Array<number>(boundaries.length + 1).fill(0);
  for (const { elements, uses } of anchors) {
    for (const use of uses) {
      const from = endsBy.get(use) ?? boundaries.length;
      const to = startsBy.get(use) ?? boundaries.length;
      if (from >= to) continue;
      potentials[from]! += elements;
      potentials[to]! -= elements;
    }
  }
  let inside = 0;
  const candidates = boundaries.map((boundary, i): Candidate => {
    inside += potentials[i]!;
    return { boundary, potential: (inside * (loops - 1)) / loops };
  });
  candidates.sort((a, b) => b.potential - a.potential);
  return { candidates, without: whyWithout(flow, loops, starts, ends) };
}

/** Names what ends the ways to places that are no candidates: behind the last use, if something else is there. */
function whyWithout(flow: Flow, loops: number, starts: Starts, ends: Ends): Miss | undefined {
  const text = ({ op, instead }: Lost): string => {
    const found = instead === undefined ? 'nothing' : nameOp(flow, instead);
    return `${found} stands where ${nameOp(flow, op)} does`;
  };
  const { lost } = ends;
  if (lost && (lost.instead !== undefined || !starts.lost)) return { depth: loops - 1, message: text(lost) };
  return starts.lost && { depth: 1, message: text(starts.lost) };
}

/** By operation that any of `values` needs: the index of the first that does. */
function firstNeededBy(flow: Flow, values: readonly number[]): ReadonlyMap<number, number> {
  const first = new Map<number, number>();
  values.forEach((value, index) => {
    const pending = [flow.maker[value]!];
    for (let op = pending.pop(); op !== undefined; op = pending.pop()) {
      if (op < 0 || first.has(op)) continue;
      first.set(op, index);
      for (const id of flow.ops[op]!.reads) pending.push(flow.maker[id]!);
    }
  });
  return first;
}
