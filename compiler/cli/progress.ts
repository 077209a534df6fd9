import type { ConvertProgress as Progress } from '../convert/convert-options.ts';
import { formatBytes } from '../inspect/format-bytes.ts';
import type { Style } from './style.ts';

/** Tells where a long command is. */
export interface ProgressLine {
  readonly show: (progress: Progress) => void;
  /** Takes the line off the terminal, so that something else can be printed. */
  readonly clear: () => void;
}

const redrawAfter = 80;

/**
 * On a terminal one line that is drawn over and over; elsewhere, in CI, one line a step.
 * @param clock milliseconds since any moment
 */
export function progressLine(
  stream: { readonly isTTY?: boolean; readonly write: (text: string) => unknown },
  style: Style,
  clock: () => number = () => performance.now(),
): ProgressLine {
  let step: string | undefined;
  let drawn = Number.NEGATIVE_INFINITY;
  let visible = false;
  return {
    show: (progress) => {
      const changed = progress.step !== step;
      step = progress.step;
      if (!stream.isTTY) {
        if (changed) stream.write(`${style.dim(`… ${step}`)}\n`);
        return;
      }
      if (!changed && clock() - drawn < redrawAfter) return;
      drawn = clock();
      visible = true;
      stream.write(`\r\x1b[K${style.dim(`… ${describe(progress)}`)}`);
    },
    clear: () => {
      if (visible) stream.write('\r\x1b[K');
      visible = false;
    },
  };
}

function describe({ step, done, total, unit, detail, secondsLeft }: Progress): string {
  const show = (n: number) => (unit === 'bytes' ? formatBytes(n) : String(n));
  const count = done === undefined ? '' : total === undefined ? ` ${show(done)}` : ` ${show(done)} of ${show(total)}`;
  const left = secondsLeft === undefined ? [] : [`${roughly(secondsLeft)} left`];
  return [`${step}${count}`, ...(detail === undefined ? [] : [detail]), ...left].join(', ');
}

/** `45 s`, `12 min`, `3 h 20 min`: no more digits than an estimate has. */
function roughly(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
