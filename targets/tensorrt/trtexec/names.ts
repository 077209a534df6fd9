/**
 * Why a name cannot be said on trtexec's command line, in a few words; undefined where it can. Lists are split at commas
 * before anything else, quotes only wrap a name and cannot stand in one, and a star is a wildcard. Double quotes are
 * written into its JSON unescaped.
 */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name.includes(',')) return 'has a comma, at which trtexec ends a name';
  if (/['"]/.test(name)) return 'has a quote, which trtexec takes for its own';
  if (name.includes('*')) return 'has a star, which trtexec takes for any text';
  return undefined;
}

/** A name as lists have it: in single quotes unless it is plain. A colon would otherwise look like the end of it. */
export function quotedName(name: string): string {
  return /^[\w./-]+$/.test(name) ? name : `'${name}'`;
}
