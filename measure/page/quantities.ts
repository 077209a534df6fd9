/** `1,082`, `83.1`, `0.412` */
export function quantity(value: number): string {
  if (!Number.isFinite(value)) return '?';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en-US');
  return size >= 10 ? value.toFixed(1) : value.toPrecision(3);
}

/** `1.51 ×`: how much more. */
export function times(value: number): string {
  return `${value.toFixed(2)} ×`;
}

/** `95 %`, `0.4 %` */
export function percent(share: number): string {
  const value = 100 * share;
  return `${value !== 0 && Math.abs(value) < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

/** `412 ms`, `3.20 s` */
export function duration(milliseconds: number): string {
  if (milliseconds === 0) return '0';
  if (milliseconds >= 1000) return `${quantity(milliseconds / 1000)} s`;
  if (milliseconds > 0 && milliseconds < 1) return `${quantity(1000 * milliseconds)} µs`;
  return `${quantity(milliseconds)} ms`;
}

/** A number beside an axis: as short as it can be. */
export function tickText(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString('en-US', { maximumFractionDigits: 6 });
}

/** A time beside an axis: `400 ms`, `2 s`. */
export function tickDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0';
  return milliseconds >= 1000 ? `${tickText(milliseconds / 1000)} s` : `${tickText(milliseconds)} ms`;
}

/** `1 row`, `16 rows` */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
}

/** A coordinate, with as many digits as an eye could see. */
export function coordinate(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** Round numbers from `from` to `to`, about as many as asked for. */
export function ticks(from: number, to: number, about: number): readonly number[] {
  const span = to - from;
  if (!(span > 0)) return [from];
  const rough = span / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
