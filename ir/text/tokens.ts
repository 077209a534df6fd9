/** What a token is. `value` is a name behind %, `string` what stood in quotes; `bad` is what no token looks like. */
export type TokenKind = 'name' | 'value' | 'string' | 'number' | 'punctuation' | 'bad' | 'end';

/** A word of the text form, and where it begins. Lines and columns count from 1. */
export interface Token {
  readonly kind: TokenKind;
  /** As it is written; for `value` and `string` what it stands for, without % and quotes. */
  readonly text: string;
  readonly line: number;
  readonly column: number;
  /** True when nothing but space stands before it on its line. */
  readonly opensLine: boolean;
}

const space = /[ \t\r\n]+|\/\/[^\n]*/y;
const name = /[A-Za-z_][A-Za-z0-9_.]*/y;
const value = /%[A-Za-z0-9_.]+/y;
const quotedValue = /%(?="(?:[^"\\\n]|\\.)*")/y;
const string = /"(?:[^"\\\n]|\\.)*"/y;
const number = /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const punctuation = /[(){}[\]<>,:=@+*-]/y;

/** Takes a text apart. Ends with a token `end`; what cannot be read becomes a token `bad`, to the end of its line. */
export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let lineStart = 0;
  let opensLine = true;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  const push = (kind: TokenKind, content: string, length: number): void => {
    tokens.push({ kind, text: content, line, column: at - lineStart + 1, opensLine });
    at += length;
    opensLine = false;
  };
  while (at < text.length) {
    const blank = match(space);
    if (blank !== undefined) {
      for (let i = 0; i < blank.length; i++) {
        if (blank[i] !== '\n') continue;
        line++;
        lineStart = at + i + 1;
        opensLine = true;
      }
      at += blank.length;
      continue;
    }
    const bare = match(value);
    const word = match(name);
    const digits = match(number);
    const sign = match(punctuation);
    if (bare !== undefined) push('value', bare.slice(1), bare.length);
    else if (word !== undefined) push('name', word, word.length);
    else if (digits !== undefined) push('number', digits, digits.length);
    else if (sign !== undefined) push('punctuation', sign, 1);
    else {
      const lead = match(quotedValue)?.length ?? 0;
      at += lead;
      const quoted = match(string);
      at -= lead;
      const content = quoted === undefined ? undefined : unquote(quoted);
      if (quoted !== undefined && content !== undefined) {
        push(lead > 0 ? 'value' : 'string', content, lead + quoted.length);
      } else {
        const rest = text.slice(at).split('\n', 1)[0]!;
        push('bad', rest, rest.length);
      }
    }
  }
  push('end', '', 0);
  return tokens;
}

/** True for names that the text form writes without quotes behind a %. */
export function isBareValueName(text: string): boolean {
  return /^[A-Za-z0-9_.]+$/.test(text);
}

/** True for names that the text form writes without quotes anywhere else. */
export function isBareName(text: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_.]*$/.test(text);
}

/** How a message names a token. */
export function describeToken(token: Token): string {
  switch (token.kind) {
    case 'end':
      return 'the end of the text';
    case 'value':
      return `%${isBareValueName(token.text) ? token.text : JSON.stringify(token.text)}`;
    case 'string':
      return JSON.stringify(token.text);
    case 'bad':
      return `${JSON.stringify(token.text.slice(0, 20))}, which cannot be read`;
    default:
      return `"${token.text}"`;
  }
}

function unquote(quoted: string): string | undefined {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return undefined;
  }
}
