import type { Progress } from '../compile-options.ts';
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

function describe({ step, done, total, unit }: Progress): string {
  if (done === undefined) return step;
  const show = (n: number) => (unit === 'bytes' ? formatBytes(n) : String(n));
  return total === undefined ? `${step} ${show(done)}` : `${step} ${show(done)} of ${show(total)}`;
}
