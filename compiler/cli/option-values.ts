import { nearest } from '../../files/did-you-mean.ts';
import { UsageError } from './usage-error.ts';

/** An option with a few possible values; `later` ones are known words that this version cannot do yet. */
export function oneOf<T extends string>(
  option: string,
  values: readonly T[],
  later: readonly string[] = [],
): (value: string) => T {
  return (value) => {
    const found = values.find((known) => known === value);
    if (found !== undefined) return found;
    const choices = `Choose ${list(values)}.`;
    if (later.includes(value)) throw new UsageError(`This version does not have ${option} ${value} yet.`, choices);
    const near = nearest(value, values);
    const guess = near === undefined ? '' : ` Did you mean "${near}"?`;
    throw new UsageError(`"${value}" is nothing that ${option} knows.${guess}`, choices);
  };
}

/** An option that takes a number, which `expected` describes: `a whole number of at least 1`. */
export function number(option: string, expected: string, holds: (value: number) => boolean): (value: string) => number {
  return (text) => {
    const value = /^\s*$/.test(text) ? Number.NaN : Number(text);
    if (Number.isNaN(value) || !holds(value)) {
      throw new UsageError(`"${text}" is no value for ${option}: ${expected} was expected.`);
    }
    return value;
  };
}

export function wholeNumber(option: string, least: number): (value: string) => number {
  return number(option, `a whole number of at least ${least}`, (n) => Number.isSafeInteger(n) && n >= least);
}

/** `123456`, `512M`, `2G`: bytes, with K, M, G and T for powers of 1024. */
export function byteCount(option: string): (value: string) => number {
  return (text) => {
    const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/i.exec(text.trim()) ?? [];
    const bytes = Math.round(Number(digits) * 1024 ** ' KMGT'.indexOf(unit.toUpperCase() || ' '));
    if (!(Number.isSafeInteger(bytes) && bytes >= 1)) {
      throw new UsageError(`"${text}" is no value for ${option}: bytes, such as 512M or 2G, were expected.`);
    }
    return bytes;
  };
}

/** `8,16`: numbers from 1 to `most`, none twice. */
export function countList(option: string, most: number): (value: string) => readonly number[] {
  const one = number(option, `a whole number from 1 to ${most}`, (n) => Number.isInteger(n) && n >= 1 && n <= most);
  return (text) => [...new Set(text.split(',').map(one))];
}

/** `32..96`, or `64` for a range of one. */
export function range(
  option: string,
  least: number,
): (value: string) => { readonly least: number; readonly most: number } {
  return (text) => {
    const [, low, high = low] = /^\s*(\d+)(?:\s*\.\.\s*(\d+))?\s*$/.exec(text) ?? [];
    const found = { least: Number(low), most: Number(high) };
    if (!(found.least >= least && found.most >= found.least && Number.isSafeInteger(found.most))) {
      throw new UsageError(
        `"${text}" is no value for ${option}: a number of at least ${least}, or two as in ${least}..96, were expected.`,
      );
    }
    return found;
  };
}

/** `1,2,3` */
export function tokenList(option: string): (value: string) => readonly number[] {
  return (text) => {
    const parts = text.split(',').map((part) => part.trim());
    if (!parts.every((part) => /^\d+$/.test(part))) {
      throw new UsageError(
        `"${text}" is no value for ${option}: token ids with commas between, such as 1,2,3, were expected.`,
      );
    }
    return parts.map(Number);
  };
}

function list(values: readonly string[]): string {
  return values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
}
