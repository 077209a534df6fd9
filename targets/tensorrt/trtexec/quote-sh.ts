/** A word as sh reads it: as it is where nothing in it means anything, else between single quotes. */
export function quoteSh(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command for a person to repeat in sh, in the folder that it ran in. */
export function commandLine(folder: string, path: string, args: readonly string[]): string {
  return `cd ${quoteSh(folder)} && ${[path, ...args].map(quoteSh).join(' ')}`;
}
