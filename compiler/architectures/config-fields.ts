import type { Diagnostic } from '../../files/diagnostics.ts';
import { type JsonDocument, type JsonPath, locationOf, showPath, showValue, valueAt } from '../../files/json.ts';

/**
 * Typed access to an object of a config.json. A value of the wrong type is noted and the default returned, so that a
 * reader runs to its end and the user hears of every problem at once. An absent key takes the default; so does `null`
 * where the method says so.
 */
export interface ConfigFields {
  /** True when the key is there with anything but null. */
  readonly has: (key: string) => boolean;
  /** As it stands; undefined when absent. */
  readonly raw: (key: string) => unknown;
  /** A whole number from `least` (1) to `most` (2^31 - 1). */
  readonly count: (key: string, absent: number, least?: number, most?: number) => number;
  /** As `count`; null is undefined. */
  readonly optionalCount: (key: string, absent: number | undefined) => number | undefined;
  /** A number above 0. */
  readonly positive: (key: string, absent: number) => number;
  /** As `positive`; null and absent are undefined. */
  readonly optionalPositive: (key: string) => number | undefined;
  readonly flag: (key: string, absent: boolean) => boolean;
  readonly text: (key: string, absent: string) => string;
  /** Fields of the object at `key`; undefined when it is absent, null or empty. */
  readonly object: (key: string) => ConfigFields | undefined;
  readonly keys: () => readonly string[];
  readonly error: (code: string, key: string, message: string, hint?: string) => void;
  readonly warning: (code: string, key: string, message: string, hint?: string) => void;
  /** How a message names a key: with the path to it. */
  readonly name: (key: string) => string;
}

/**
 * @param problems what is found wrong is appended here
 * @param path of the object inside the document
 */
export function configFields(document: JsonDocument, problems: Diagnostic[], path: JsonPath = []): ConfigFields {
  const raw = (key: string) => valueAt(document, [...path, key]);
  const name = (key: string) => showPath([...path, key]);
  const note = (severity: 'error' | 'warning') => (code: string, key: string, message: string, hint?: string) => {
    const location = locationOf(document, [...path, key]);
    problems.push({ severity, code, location, message, ...(hint === undefined ? {} : { hint }) });
  };
  const error = note('error');
  const expect = (key: string, expected: string) => {
    const found = raw(key);
    const code = typeof found === 'number' && expected.includes('number') ? 'wrong-value' : 'wrong-type';
    error(code, key, `Expected ${expected} at "${name(key)}", found ${showValue(found)}.`);
  };
  const count = (key: string, absent: number, least = 1, most = 2 ** 31 - 1) => {
    const value = raw(key);
    if (value === undefined) return absent;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    expect(key, `a whole number from ${least} to ${most}`);
    return absent;
  };
  const positive = (key: string, absent: number) => {
    const value = raw(key);
    if (value === undefined) return absent;
    if (typeof value === 'number' && value > 0) return value;
    expect(key, 'a number above 0');
    return absent;
  };
  return {
    raw,
    name,
    error,
    warning: note('warning'),
    count,
    positive,
    has: (key) => raw(key) !== undefined && raw(key) !== null,
    optionalCount: (key, absent) => {
      const value = raw(key);
      return value === undefined ? absent : value === null ? undefined : count(key, 1);
    },
    optionalPositive: (key) => (raw(key) === undefined || raw(key) === null ? undefined : positive(key, 1)),
    flag: (key, absent) => {
      const value = raw(key);
      if (value === undefined) return absent;
      if (typeof value === 'boolean') return value;
      expect(key, 'true or false');
      return absent;
    },
    text: (key, absent) => {
      const value = raw(key);
      if (value === undefined) return absent;
      if (typeof value === 'string') return value;
      expect(key, 'text');
      return absent;
    },
    object: (key) => {
      const value = raw(key);
      if (value === undefined || value === null) return undefined;
      if (typeof value === 'object' && !Array.isArray(value)) {
        return Object.keys(value).length === 0 ? undefined : configFields(document, problems, [...path, key]);
      }
      expect(key, 'an object');
      return undefined;
    },
    keys: () => {
      const value = valueAt(document, path);
      return typeof value === 'object' && value !== null ? Object.keys(value) : [];
    },
  };
}
