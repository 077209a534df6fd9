/** A value of protobuf's text form. Words are names of enums, and true and false. */
export type TextValue =
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'number'; readonly number: number }
  | { readonly kind: 'word'; readonly word: string }
  | { readonly kind: 'message'; readonly fields: readonly TextField[] };

/** A field as often as it stands there; a list is that many fields. */
export interface TextField {
  readonly name: string;
  readonly value: TextValue;
  /** From 1. */
  readonly line: number;
}

/** What is no text form of any message. */
export class PbtxtError extends Error {}

interface Token {
  readonly text: string;
  readonly line: number;
}

const tokenForm =
  /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[A-Za-z_][A-Za-z0-9_.]*|[-+]?[0-9][0-9A-Za-z.+-]*|[{}[\]:;,<>-]/y;

/**
 * Reads protobuf's text form, as far as config.pbtxt has it: no extensions, no escapes in strings but `\"`, `\\` and `\n`.
 * @throws PbtxtError with the line, when the text is something else
 */
export function parsePbtxt(text: string): readonly TextField[] {
  const tokens = tokensOf(text);
  let at = 0;
  const fail = (what: string): never => {
    throw new PbtxtError(`line ${tokens[Math.min(at, tokens.length - 1)]?.line ?? 1}: ${what}`);
  };
  const next = (): Token => tokens[at++] ?? fail('the text ends too early');
  const isNext = (...texts: readonly string[]) => at < tokens.length && texts.includes(tokens[at]!.text);

  const message = (end: string | undefined): readonly TextField[] => {
    const fields: TextField[] = [];
    for (;;) {
      if (end === undefined ? at === tokens.length : isNext(end)) break;
      const { text: name, line } = next();
      if (!/^[A-Za-z_]/.test(name)) fail(`"${name}" is no name of a field`);
      const colon = isNext(':');
      if (colon) at++;
      else if (!isNext('{')) fail(`"${name}" has neither ":" nor "{" behind it`);
      for (const value of values()) fields.push({ name, value, line });
      if (isNext(';', ',')) at++;
    }
    if (end !== undefined) at++;
    return fields;
  };
  const values = (): readonly TextValue[] => {
    if (!isNext('[')) return [value()];
    at++;
    const list: TextValue[] = [];
    while (!isNext(']')) {
      list.push(value());
      if (isNext(',')) at++;
      else if (!isNext(']')) fail('a list has "," between its values');
    }
    at++;
    return list;
  };
  const value = (): TextValue => {
    const { text: token } = next();
    if (token === '{') return { kind: 'message', fields: message('}') };
    if (/^["']/.test(token)) {
      const plain = token.slice(1, -1).replaceAll(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
      return { kind: 'string', text: plain };
    }
    if (/^[A-Za-z_]/.test(token)) return { kind: 'word', word: token };
    const number = Number(token);
    return Number.isNaN(number) ? fail(`"${token}" is no value`) : { kind: 'number', number };
  };
  return message(undefined);
}

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  for (const [i, content] of text.split('\n').entries()) {
    for (let at = 0; at < content.length; ) {
      if (/\s/.test(content[at]!)) {
        at++;
        continue;
      }
      if (content[at] === '#') break;
      tokenForm.lastIndex = at;
      const found = tokenForm.exec(content);
      if (!found) throw new PbtxtError(`line ${i + 1}: ${JSON.stringify(content.slice(at, at + 10))} is no value`);
      tokens.push({ text: found[0], line: i + 1 });
      at = tokenForm.lastIndex;
    }
  }
  return tokens;
}
