import type { Diagnostic } from '../../files/diagnostics.ts';
import { type JsonDocument, type JsonPath, locationOf } from '../../files/json.ts';

/** Collects what is wrong with a document, so that all of it can be told at once. */
export interface Problems {
  readonly add: (code: string, path: JsonPath, message: string, hint?: string) => void;
  readonly all: () => readonly Diagnostic[];
}

export function problemsOf(document: JsonDocument): Problems {
  const found: Diagnostic[] = [];
  return {
    add: (code, path, message, hint) => {
      const location = locationOf(document, path);
      found.push({ severity: 'error', code, location, message, ...(hint === undefined ? {} : { hint }) });
    },
    all: () => found,
  };
}
