const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** A size as people read it, in powers of 1000 as file managers and vendors count: `2.31 MB`. */
export function formatBytes(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toPrecision(3)} ${units[unit]}`;
}
