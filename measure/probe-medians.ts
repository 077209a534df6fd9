import type { ProbeTimes } from './probe.ts';
import { medianOf } from './statistics.ts';

/**
 * The middle of what was timed in several rounds. A count of heads that only some rounds timed is the middle of those.
 * @param rounds at least one
 */
export function probeMedians(rounds: readonly ProbeTimes[]): ProbeTimes {
  const counts = [...new Set(rounds.flatMap(({ heads }) => heads.map(({ count }) => count)))].sort((a, b) => a - b);
  const of = (pick: (times: ProbeTimes) => number) => medianOf(rounds.map(pick));
  return {
    pass: of(({ pass }) => pass),
    heads: counts.map((count) => {
      const times = rounds.flatMap(({ heads }) => heads.filter((point) => point.count === count));
      return { count, milliseconds: medianOf(times.map(({ milliseconds }) => milliseconds)) };
    }),
    withoutPast: of(({ withoutPast }) => withoutPast),
    evenPast: of(({ evenPast }) => evenPast),
  };
}
