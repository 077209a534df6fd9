/**
 * How many rows each attention group of a step gets: evenly, and those that are left over go to the first groups. A
 * group's share never shrinks when a step has more rows, so whatever number lies between those that an engine's profile
 * begins and ends with has groups that fit. Rows that are in the order of their lengths are dealt in that order.
 */
export function dealRows(rows: number, groups: number): readonly number[] {
  return Array.from({ length: groups }, (_, g) => Math.max(0, Math.ceil((rows - g) / groups)));
}
