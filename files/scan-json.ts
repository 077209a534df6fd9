/** What a parser does not tell: keys that stand twice, keys that are not allowed, and how deep it goes. */
export interface JsonScan {
  readonly duplicateKeys: readonly ScannedKey[];
  readonly forbiddenKeys: readonly ScannedKey[];
  /** Where nesting first passes the limit; the scan ends there. */
  readonly tooDeepAt: number | undefined;
}

export interface ScannedKey {
  readonly key: string;
  /** Of the opening quote, in characters. */
  readonly offset: number;
}

/** An object with these keys would not be the plain record that it seems to be. */
const forbidden: readonly string[] = ['__proto__', 'constructor', 'prototype'];

/**
 * One pass over JSON text without recursion and without building anything, so that no input is too deep or too large
 * for it. The text need not be valid: then the answer is a guess, and a parser says the rest.
 */
export function scanJson(text: string, maxDepth: number): JsonScan {
  const duplicateKeys: ScannedKey[] = [];
  const forbiddenKeys: ScannedKey[] = [];
  const objects: Set<string>[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '{' || c === '[') {
      if (objects.length === maxDepth) return { duplicateKeys, forbiddenKeys, tooDeepAt: i };
      objects.push(new Set());
    } else if (c === '}' || c === ']') {
      objects.pop();
    } else if (c === '"') {
      const start = i;
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i++;
      const keys = objects.at(-1);
      if (keys === undefined || !colonFollows(text, i + 1)) continue;
      const key = unescaped(text.slice(start, i + 1));
      if (keys.has(key)) duplicateKeys.push({ key, offset: start });
      if (forbidden.includes(key)) forbiddenKeys.push({ key, offset: start });
      keys.add(key);
    }
  }
  return { duplicateKeys, forbiddenKeys, tooDeepAt: undefined };
}

function colonFollows(text: string, from: number): boolean {
  let i = from;
  while (text[i] === ' ' || text[i] === '\n' || text[i] === '\t' || text[i] === '\r') i++;
  return text[i] === ':';
}

/** `"__proto\u005f_"` is `__proto__` too. */
function unescaped(quoted: string): string {
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return quoted;
  }
}
