/** A time that was measured, or given, for a number of rows, heads or tokens. */
export interface TimePoint {
  readonly count: number;
  readonly milliseconds: number;
}

/**
 * Time for `count`, linear between the points and along the last two behind them; below the first point it is the
 * first point's, since a pass for fewer rows reads the same weights. One point alone holds for every count, and none
 * cost nothing; `count` 0 costs nothing either.
 * @param points ascending by count
 */
export function timeAt(points: readonly TimePoint[], count: number): number {
  const [first] = points;
  if (count === 0 || first === undefined) return 0;
  if (count <= first.count || points.length === 1) return first.milliseconds;
  const behind = points.findIndex((point) => point.count >= count);
  const right = points[behind < 0 ? points.length - 1 : behind]!;
  const left = points[(behind < 0 ? points.length - 1 : behind) - 1]!;
  const slope = (right.milliseconds - left.milliseconds) / (right.count - left.count);
  // Times that fall behind the last point would fall below nothing some day.
  const growth = behind < 0 ? Math.max(slope, 0) : slope;
  const from = behind < 0 ? right : left;
  return from.milliseconds + growth * (count - from.count);
}
