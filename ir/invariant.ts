/** Thrown where rtc itself is wrong. What a user can cause is a diagnostic instead, and is returned. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** Stops with an {@link InvariantError} when `condition` is false: a bug in rtc, never bad input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

/** For the last branch of a `switch` over a union: TypeScript refuses the call while a case is missing. */
export function unreachable(value: never): never {
  throw new InvariantError(`no case for ${JSON.stringify(value)}`);
}
