/** A time that was measured, or given, for a number of rows, heads or tokens. */
export interface TimePoint {
  readonly count: number;
  readonly milliseconds: number;
}

/**
 * Milliseconds for `count`: linear between the points, and along the last two behind them. Below the first point it is
 * the first point's, since a pass for fewer rows reads the same weights. One point holds for every count; no points cost
 * nothing, and neither does a count of 0.
 * @param points ascending by count
 */
export function timeAt(points: readonly TimePoint[], count: number): number {
  const [first] = points;
  if (count === 0 || first === undefined) return 0;
  if (count <= first.count || points.length === 1) return first.milliseconds;
  const next = points.findIndex((point) => point.count >= count);
  const right = points[next < 0 ? points.length - 1 : next]!;
  const left = points[(next < 0 ? points.length - 1 : next) - 1]!;
  const slope = (right.milliseconds - left.milliseconds) / (right.count - left.count);
  if (next >= 0) return left.milliseconds + slope * (count - left.count);
  // Noise can make the last two points fall; more rows never take less time on that account.
  return right.milliseconds + Math.max(slope, 0) * (count - right.count);
}
