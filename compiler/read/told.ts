import type { Diagnostic, Location } from '../../files/diagnostics.ts';

/** How many problems of one kind are told one by one before the rest is counted. */
const toldEach = 8;

/**
 * Errors of one kind, the first few told one by one and the rest counted: a thousand sentences say no more than nine.
 * @param rest where the count is told
 */
export function told<T>(
  items: readonly T[],
  code: string,
  rest: Location,
  tell: (item: T) => Pick<Diagnostic, 'location' | 'message'>,
): readonly Diagnostic[] {
  const diagnostics: Diagnostic[] = items
    .slice(0, toldEach)
    .map((item) => ({ severity: 'error', code, ...tell(item) }));
  const more = items.length - toldEach;
  if (more <= 0) return diagnostics;
  const message = `There are ${more} more of this kind (${code}).`;
  return [...diagnostics, { severity: 'error', code, location: rest, message }];
}
