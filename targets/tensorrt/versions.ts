/** A version of TensorRT, as `trtexec` reports it and as --tensorrt-version names it. */
export interface TensorrtVersion {
  readonly major: number;
  readonly minor: number;
  /** Undefined where only a line of releases is meant: 10.16. */
  readonly patch?: number;
}

/** What graphs are written for where nobody says and no trtexec can be asked. */
export const defaultVersion: TensorrtVersion = { major: 10, minor: 16 };

/** The oldest version that is written for: the first whose networks can be strongly typed and keep int64. */
export const oldestVersion: TensorrtVersion = { major: 10, minor: 0 };

/** The newest version whose parser and command line were looked at; later ones are treated like it, and that is said. */
export const newestVersion: TensorrtVersion = { major: 11, minor: 1 };

/** `10.16`, `11.1.0`, `11.1.0.106`; undefined for anything else. */
export function parseVersion(text: string): TensorrtVersion | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3})(?:\.\d{1,6})?)?$/.exec(text);
  if (!match) return undefined;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  return match[3] === undefined ? { major, minor } : { major, minor, patch: Number(match[3]) };
}

/** `10.16`, or with a patch `10.16.0`. */
export function formatVersion({ major, minor, patch }: TensorrtVersion): string {
  return patch === undefined ? `${major}.${minor}` : `${major}.${minor}.${patch}`;
}

/** Whether `version` is `major.minor` or later. */
export function atLeast(version: TensorrtVersion, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor);
}
