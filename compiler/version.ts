import { readFileSync } from 'node:fs';
import { invariant } from '../ir/invariant.ts';

/** The version in rtc's package.json, from the sources as from dist. */
export function rtcVersion(): string {
  for (let folder = new URL('./', import.meta.url); ; folder = new URL('../', folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8')) as Record<
        string,
        string
      >;
      if (name === 'rtc' && version !== undefined) return version;
    } catch {
      // Not this folder.
    }
    invariant(folder.pathname !== '/', 'rtc does not find its own package.json');
  }
}
