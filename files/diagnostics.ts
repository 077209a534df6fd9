/** Where in a file something was found. Lines and columns count from 1. */
export interface Location {
  /** As the user would name it: relative to where the command ran, or as given. */
  readonly file: string;
  /** JSON path, such as `recursion.loops` or `weights[0]`; a tensor's name in a weight file. */
  readonly path?: string;
  readonly line?: number;
  readonly column?: number;
}

/**
 * What a user can cause, said so that the user can act: what was found, what was expected, what to do next.
 * Functions return diagnostics, all of an input at once; they never throw them.
 */
export interface Diagnostic {
  readonly severity: 'error' | 'warning' | 'note';
  /** Stable, kebab-case: `unknown-key`, `missing-tensor`. */
  readonly code: string;
  readonly location?: Location;
  /** One sentence or two, ending with a full stop. */
  readonly message: string;
  /** The next step, if there is one to name. */
  readonly hint?: string;
}

/** A value, or the errors that kept it from being made. Warnings travel with either. */
export type Result<T> =
  | { readonly ok: true; readonly value: T; readonly diagnostics: readonly Diagnostic[] }
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[] };

export function success<T>(value: T, diagnostics: readonly Diagnostic[] = []): Result<T> {
  return { ok: true, value, diagnostics };
}

export function failure(...diagnostics: readonly Diagnostic[]): Result<never> {
  return { ok: false, diagnostics };
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some((d) => d.severity === 'error');
}
