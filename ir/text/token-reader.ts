import { describeToken, type Token, tokenize } from './tokens.ts';

/** What is wrong with a text, and where. Lines and columns count from 1. */
export interface TextProblem {
  readonly line: number;
  readonly column: number;
  /** A sentence without its full stop: what was found and what was expected. */
  readonly message: string;
}

/** Reads a text token by token. Whoever meets a problem notes it and gives up up to the next {@link attempt}. */
export interface TokenReader {
  readonly problems: readonly TextProblem[];
  /** The next token, which stays. */
  readonly peek: (ahead?: number) => Token;
  /** The next token, which goes. */
  readonly next: () => Token;
  readonly isSign: (sign: string) => boolean;
  /** Takes a punctuation mark or a word if it is next. */
  readonly accept: (text: string) => boolean;
  /** Takes a punctuation mark or a word, which has to be next. */
  readonly expect: (text: string, purpose?: string) => Token;
  /** `[open] item, item … [close]`, the opening mark taken already. */
  readonly list: <T>(close: string, item: () => T) => T[];
  /** Notes a problem and goes on. */
  readonly report: (token: Token, message: string) => void;
  /** Notes that something else was expected than what is there, and gives up. */
  readonly fail: (expected: string, token?: Token) => never;
  /** Notes a problem and gives up. */
  readonly abandon: (token: Token, message: string) => never;
  /** Runs `read`; when it gives up, skips to the next line that `resumes` accepts and returns undefined. */
  readonly attempt: <T>(read: () => T, resumes: (token: Token) => boolean) => T | undefined;
}

export function tokenReader(text: string): TokenReader {
  const tokens = tokenize(text);
  const problems: TextProblem[] = [];
  // Thrown by fail and caught by attempt: it never leaves the parser.
  const givenUp = new Error('given up');
  let at = 0;

  const peek = (ahead = 0): Token => tokens[Math.min(at + ahead, tokens.length - 1)]!;
  const next = (): Token => {
    const token = peek();
    if (at < tokens.length - 1) at++;
    return token;
  };
  const report = (token: Token, message: string): void => {
    problems.push({ line: token.line, column: token.column, message });
  };
  const abandon = (token: Token, message: string): never => {
    report(token, message);
    throw givenUp;
  };
  const fail = (expected: string, token = peek()): never =>
    abandon(token, `expected ${expected}, found ${describeToken(token)}`);
  const is = (text: string): boolean => {
    const token = peek();
    return token.text === text && (token.kind === 'punctuation' || token.kind === 'name');
  };
  const accept = (wanted: string): boolean => {
    if (!is(wanted)) return false;
    next();
    return true;
  };

  return {
    problems,
    peek,
    next,
    isSign: is,
    accept,
    expect(wanted, purpose) {
      if (!is(wanted)) fail(`"${wanted}"${purpose === undefined ? '' : ` ${purpose}`}`);
      return next();
    },
    list(close, item) {
      const items: ReturnType<typeof item>[] = [];
      if (accept(close)) return items;
      for (;;) {
        items.push(item());
        if (accept(close)) return items;
        if (!accept(',')) fail(`"," or "${close}"`);
      }
    },
    report,
    fail,
    abandon,
    attempt(read, resumes) {
      const start = at;
      try {
        return read();
      } catch (error) {
        if (error !== givenUp) throw error;
        if (at === start) next();
        while (peek().kind !== 'end' && !(peek().opensLine && resumes(peek()))) next();
        return undefined;
      }
    },
  };
}
