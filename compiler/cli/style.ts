/** Colours of a terminal, or none. */
export interface Style {
  /** False: everything comes back as it is. */
  readonly color: boolean;
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

/**
 * Colours for a stream. As in Node itself FORCE_COLOR decides where it is set (`0` and `false` mean no), then NO_COLOR
 * where it is not empty, then whether the stream is a terminal that can show colours.
 */
export function styleFor(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): Style {
  return hasColors(stream, env) ? colored : plain;
}

function hasColors(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  if (env.NO_COLOR) return false;
  return stream.isTTY === true && env.TERM !== 'dumb';
}

const wrap = (on: number, off: number) => (text: string) => `\x1b[${on}m${text}\x1b[${off}m`;
const keep = (text: string) => text;

const colored: Style = {
  color: true,
  bold: wrap(1, 22),
  dim: wrap(2, 22),
  red: wrap(31, 39),
  green: wrap(32, 39),
  yellow: wrap(33, 39),
  cyan: wrap(36, 39),
};

const plain: Style = { color: false, bold: keep, dim: keep, red: keep, green: keep, yellow: keep, cyan: keep };
