import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { findNodeAtLocation, type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';
import { type Diagnostic, failure, type Location, type Result, success } from './diagnostics.ts';
import { fileDiagnostic } from './file-diagnostic.ts';
import { scanJson } from './scan-json.ts';

/** Keys and indices from the root: `['exits', 'after', 0]`. */
export type JsonPath = readonly (string | number)[];

/** A JSON file that was read and is valid, and remembers where everything stood. */
export interface JsonDocument {
  /** As the user would name it. */
  readonly file: string;
  readonly text: string;
  readonly value: unknown;
  readonly root: Node;
}

export interface JsonLimits {
  /** Larger files are refused before they are parsed. */
  readonly maxBytes: number;
  /** How deep objects and lists may nest. */
  readonly maxDepth: number;
}

const defaultLimits: JsonLimits = { maxBytes: 16 * 2 ** 20, maxDepth: 64 };

/**
 * Reads and parses a JSON file. Refused with a diagnostic: what cannot be read, is not a regular file, is too large,
 * is not UTF-8, starts with a byte order mark, and all that {@link parseJson} refuses.
 * @param shown the file as the user would name it
 */
export async function readJson(
  path: string,
  shown: string,
  limits: JsonLimits = defaultLimits,
): Promise<Result<JsonDocument>> {
  let bytes: Buffer;
  try {
    // Without blocking: a named pipe would keep an ordinary open waiting for a writer.
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) return failure(problem('not-a-file', `"${shown}" is not a file.`, { file: shown }));
      if (stat.size > limits.maxBytes) return failure(tooLarge(shown, stat.size, limits));
      bytes = await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    return failure(fileDiagnostic(error, { file: shown }, 'read'));
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const hint = 'JSON is always UTF-8; save the file in that encoding.';
    return failure({ ...problem('invalid-utf8', `"${shown}" is not UTF-8 text.`, { file: shown }), hint });
  }
  return parseJson(text, shown, limits);
}

/**
 * Parses JSON as RFC 8259 has it: no comments, no trailing commas. Also refused, each with its place: a byte order
 * mark, nesting that is too deep, a key twice in one object, keys that mean something to JavaScript (`__proto__`,
 * `constructor`, `prototype`), and numbers too large for float64.
 */
export function parseJson(text: string, file: string, limits: JsonLimits = defaultLimits): Result<JsonDocument> {
  if (text.length > limits.maxBytes) return failure(tooLarge(file, text.length, limits));
  if (text.startsWith('\uFEFF')) {
    const message = 'The file starts with a byte order mark, which JSON does not allow.';
    return failure({
      ...problem('byte-order-mark', message, { file, line: 1, column: 1 }),
      hint: 'Save it as UTF-8 without BOM.',
    });
  }
  const scan = scanJson(text, limits.maxDepth);
  if (scan.tooDeepAt !== undefined) {
    const message = `Objects and lists are nested more than ${limits.maxDepth} deep.`;
    return failure(problem('too-deep', message, { file, ...position(text, scan.tooDeepAt) }));
  }
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false });
  const value = parseStrictly(text);
  if (root === undefined || errors.length > 0 || !value.ok) {
    // One error makes others follow; only the first is surely the user's.
    const [first] = errors;
    const what =
      first === undefined
        ? 'a character that JSON does not allow here'
        : syntaxErrors[printParseErrorCode(first.error)];
    const message = `"${file}" is not valid JSON: ${what ?? 'it does not parse'}.`;
    return failure(problem('invalid-json', message, { file, ...position(text, first?.offset ?? 0) }));
  }
  const document: JsonDocument = { file, text, value: value.value, root };
  const problems = [
    ...scan.duplicateKeys.map(({ key, offset }) =>
      problem('duplicate-key', `The key "${key}" stands twice in the same object.`, {
        file,
        ...position(text, offset),
      }),
    ),
    ...scan.forbiddenKeys.map(({ key, offset }) =>
      problem('forbidden-key', `The key "${key}" is not allowed in any JSON that rtc reads.`, {
        file,
        ...position(text, offset),
      }),
    ),
    ...infiniteNumbers(root).map((node) =>
      problem(
        'number-too-large',
        `The number ${shorten(text.slice(node.offset, node.offset + node.length))} is too large for a float64.`,
        {
          file,
          ...position(text, node.offset),
        },
      ),
    ),
  ];
  return problems.length > 0 ? failure(...problems) : success(document);
}

/**
 * Where something is in a document: the value at `path`, or with `key` the key itself.
 * When there is nothing at `path`, the nearest object around it.
 */
export function locationOf(document: JsonDocument, path: JsonPath, at: 'value' | 'key' = 'value'): Location {
  let node: Node | undefined;
  for (let length = path.length; length >= 0 && node === undefined; length--) {
    node = findNodeAtLocation(document.root, path.slice(0, length));
    if (node !== undefined && length === path.length && at === 'key' && node.parent?.type === 'property') {
      node = node.parent.children?.[0] ?? node;
    }
  }
  const offset = node?.offset ?? 0;
  return {
    file: document.file,
    ...(path.length > 0 ? { path: showPath(path) } : {}),
    ...position(document.text, offset),
  };
}

/** The value at `path`; undefined when there is none. Only own keys count. */
export function valueAt(document: JsonDocument, path: JsonPath): unknown {
  let value = document.value;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Readonly<Record<string | number, unknown>>)[step];
  }
  return value;
}

/** `recursion.loops`, `weights[0]`, `weight_map["model.norm.weight"]`. */
export function showPath(path: JsonPath): string {
  return path
    .map((step, i) => {
      if (typeof step === 'number') return `[${step}]`;
      if (!/^[A-Za-z_$][\w$-]*$/.test(step)) return `[${JSON.stringify(step)}]`;
      return i === 0 ? step : `.${step}`;
    })
    .join('');
}

/** A value as a message can show it: short, and on one line. */
export function showValue(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : shorten(JSON.stringify(value));
  if (typeof value === 'object' && value !== null) return 'an object';
  return value === undefined ? 'nothing' : shorten(JSON.stringify(value));
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function parseStrictly(text: string): { readonly ok: true; readonly value: unknown } | { readonly ok: false } {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return { ok: false };
  }
}

function infiniteNumbers(root: Node): readonly Node[] {
  const found: Node[] = [];
  const pending = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node.type === 'number' && !Number.isFinite(node.value)) found.push(node);
    for (const child of node.children ?? []) pending.push(child);
  }
  return found.sort((a, b) => a.offset - b.offset);
}

function position(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset);
  const lineStart = Math.max(before.lastIndexOf('\n'), before.lastIndexOf('\r')) + 1;
  return { line: before.split(/\r\n|\n|\r/).length, column: offset - lineStart + 1 };
}

function problem(code: string, message: string, location: Location): Diagnostic {
  return { severity: 'error', code, location, message };
}

function tooLarge(file: string, size: number, limits: JsonLimits): Diagnostic {
  const message = `"${file}" has ${size} bytes; at most ${limits.maxBytes} were expected.`;
  return problem('file-too-large', message, { file });
}

const syntaxErrors: Readonly<Record<string, string>> = {
  InvalidSymbol: 'a word that is neither true, false nor null',
  InvalidNumberFormat: 'a malformed number',
  PropertyNameExpected: 'a key in double quotes was expected',
  ValueExpected: 'a value was expected',
  ColonExpected: 'a colon was expected',
  CommaExpected: 'a comma was expected',
  CloseBraceExpected: 'a closing brace was expected',
  CloseBracketExpected: 'a closing bracket was expected',
  EndOfFileExpected: 'the end of the file was expected',
  InvalidCommentToken: 'a comment, which JSON does not have',
  UnexpectedEndOfComment: 'a comment, which JSON does not have',
  UnexpectedEndOfString: 'a string that does not end',
  UnexpectedEndOfNumber: 'a number that does not end',
  InvalidUnicode: 'a malformed \\u escape',
  InvalidEscapeCharacter: 'an unknown escape in a string',
  InvalidCharacter: 'a character that a string must escape',
};
