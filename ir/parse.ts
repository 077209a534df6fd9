import type { Graph, Op, Output, Region, Stage, Value, Weight } from './graph.ts';
import { type AttrValue, isOpKind, type OpKind, type OpSpec, opTable } from './op-table.ts';
import { parseAttr, parseType } from './text/parse-parts.ts';
import { parseWeight } from './text/parse-weight.ts';
import { type TextProblem, type TokenReader, tokenReader } from './text/token-reader.ts';
import { describeToken, type Token } from './text/tokens.ts';

export type ParseResult =
  | { readonly ok: true; readonly graph: Graph }
  | { readonly ok: false; readonly problems: readonly TextProblem[] };

const stages: readonly Stage[] = ['unrolled', 'folded', 'lowered'];

/** More loops inside one another than anyone writes, and fewer than the stack holds. */
const deepest = 50;

/**
 * Reads what printGraph writes, and the same by hand: space, order of attributes and `//` comments are free. Every
 * problem of the text comes back, first to last; nothing is thrown. Whether types fit is for verifyGraph to say.
 */
export function parseGraph(text: string): ParseResult {
  const reader = tokenReader(text);
  const graph = reader.attempt(
    () => parseWhole(reader),
    () => false,
  );
  if (graph && reader.problems.length === 0) return { ok: true, graph };
  return { ok: false, problems: reader.problems };
}

/** A problem as one line: `3:14: expected "," or "}", found "%x"`. */
export function formatProblem({ line, column, message }: TextProblem): string {
  return `${line}:${column}: ${message}`;
}

/** The values that can be seen at a place: those of a region before it, and those around the region. */
interface Names {
  readonly define: (token: Token, type: Value['type']) => Value;
  readonly find: (token: Token) => Value;
  readonly inner: () => Names;
}

function parseWhole(reader: TokenReader): Graph {
  const names = nameTable(reader);
  reader.expect('graph', 'to begin with');
  const name = reader.peek().kind === 'string' ? reader.next().text : '';
  const stage = stages.find((s) => reader.accept(s)) ?? 'unrolled';
  reader.expect('(', 'and the inputs');
  const inputs = reader.list(')', () => parseDeclaration(reader, names));
  reader.expect('{');
  const weights: Weight[] = [];
  const ops: Op[] = [];
  const outputNames = new Set<string>();
  const outputs = parseBody(reader, names, ops, 0, { weights, result: () => parseOutput(reader, names, outputNames) });
  if (reader.peek().kind !== 'end') reader.fail('the end of the text');
  return { name, stage, inputs, weights, ops, outputs };
}

interface BodyParts<R> {
  /** Where weights go; undefined where there may be none. */
  readonly weights?: Weight[];
  readonly result: () => R;
}

/** Statements, `return` and `}`: of a graph or of a loop. A statement that fails is left out, and the rest still read. */
function parseBody<R>(
  reader: TokenReader,
  names: Names,
  ops: Op[],
  depth: number,
  { weights, result }: BodyParts<R>,
): R[] {
  const resumes = (token: Token) => token.kind === 'value' || ['weight', 'return', '}'].includes(token.text);
  for (;;) {
    const token = reader.peek();
    if (token.kind === 'name' && token.text === 'return') break;
    if (token.kind === 'end' || reader.isSign('}')) return reader.fail('"return"');
    reader.attempt(() => {
      if (weights && reader.accept('weight')) weights.push(parseWeightLine(reader, names));
      else ops.push(parseOp(reader, names, depth));
    }, resumes);
  }
  reader.expect('return');
  const results: R[] = [];
  if (!reader.isSign('}')) {
    do results.push(result());
    while (reader.accept(','));
  }
  reader.expect('}', results.length > 0 ? 'or "," and another result' : undefined);
  return results;
}

function parseWeightLine(reader: TokenReader, names: Names): Weight {
  const value = parseDeclaration(reader, names);
  reader.expect('=');
  return { value, expr: parseWeight(reader) };
}

function parseOp(reader: TokenReader, names: Names, depth: number): Op {
  const declared: { readonly token: Token; readonly type: Value['type'] }[] = [];
  if (reader.peek().kind === 'value') {
    do {
      const token = expectValue(reader);
      reader.expect(':', 'and the type');
      declared.push({ token, type: parseType(reader) });
    } while (reader.accept(','));
    reader.expect('=', 'or "," and another result');
  }
  const kindToken = reader.peek();
  const kind = kindToken.text;
  if (kindToken.kind !== 'name') return reader.fail('a weight, an operation or "return"');
  // What a broken line would have made is made all the same, or every use of it would be a problem too.
  const defineResults = () => declared.map(({ token, type }) => names.define(token, type));
  if (!isOpKind(kind)) {
    defineResults();
    return reader.abandon(kindToken, `there is no operation "${kind}"`);
  }
  reader.next();
  const spec: OpSpec = opTable[kind];
  let finished = false;
  try {
    const operands: Value[] = [];
    if (reader.peek().kind === 'value' && !startsStatement(reader)) {
      do operands.push(names.find(expectValue(reader)));
      while (reader.accept(','));
    }
    const attrs = parseAttrs(reader, kind, kindToken);
    const scope = parseScope(reader);
    const body = spec.body ? parseRegion(reader, names, depth + 1) : undefined;
    finished = true;
    return { kind, operands, attrs, results: defineResults(), scope, body } as unknown as Op;
  } finally {
    if (!finished) defineResults();
  }
}

/** An operation without operands may be followed by a line that begins with a value: that one has a type. */
function startsStatement(reader: TokenReader): boolean {
  const after = reader.peek(1);
  return after.kind === 'punctuation' && after.text === ':';
}

function parseAttrs(reader: TokenReader, kind: OpKind, at: Token): Readonly<Record<string, AttrValue>> {
  const kinds = (opTable[kind] as OpSpec).attrs;
  const known = Object.keys(kinds);
  const found = new Map<string, AttrValue>();
  if (reader.accept('{')) {
    reader.list('}', () => {
      const token = reader.peek();
      if (token.kind !== 'name' || !Object.hasOwn(kinds, token.text)) {
        return reader.fail(known.length > 0 ? `an attribute of ${kind}: ${known.join(', ')}` : '"}"');
      }
      reader.next();
      reader.expect('=');
      if (found.has(token.text)) reader.report(token, `the attribute ${token.text} is given twice`);
      found.set(token.text, parseAttr(reader, kinds[token.text]!));
    });
  }
  const missing = known.filter((name) => !found.has(name));
  if (missing.length > 0) reader.report(at, `${kind} needs ${missing.map((name) => `${name}=…`).join(', ')} in {…}`);
  return Object.fromEntries(known.filter((name) => found.has(name)).map((name) => [name, found.get(name)!]));
}

function parseScope(reader: TokenReader): string {
  if (!reader.accept('@')) return '';
  return reader.peek().kind === 'string' ? reader.next().text : reader.fail('a scope in quotes');
}

function parseRegion(reader: TokenReader, outer: Names, depth: number): Region {
  const open = reader.expect('(', 'and the parameters of the body');
  if (depth > deepest) return reader.abandon(open, `expected at most ${deepest} loops inside one another`);
  const names = outer.inner();
  const parameters = reader.list(')', () => parseDeclaration(reader, names));
  reader.expect('{');
  const ops: Op[] = [];
  const results = parseBody(reader, names, ops, depth, { result: () => names.find(expectValue(reader)) });
  return { parameters, ops, results };
}

function parseDeclaration(reader: TokenReader, names: Names): Value {
  const token = expectValue(reader);
  reader.expect(':', 'and the type');
  return names.define(token, parseType(reader));
}

function parseOutput(reader: TokenReader, names: Names, taken: Set<string>): Output {
  const token = reader.peek();
  if (!['value', 'name', 'string'].includes(token.kind)) return reader.fail('a value, or the name of an output');
  reader.next();
  if (taken.has(token.text)) reader.report(token, `there is an output ${describeToken(token)} already`);
  taken.add(token.text);
  if (token.kind !== 'value') reader.expect(':', 'and the value of the output');
  return { name: token.text, value: names.find(token.kind === 'value' ? token : expectValue(reader)) };
}

function expectValue(reader: TokenReader): Token {
  return reader.peek().kind === 'value' ? reader.next() : reader.fail('a value, such as %x');
}

function nameTable(reader: TokenReader): Names {
  const taken = new Map<string, Token>();
  const level = (outer: (name: string) => Value | undefined): Names => {
    const own = new Map<string, Value>();
    const look = (name: string): Value | undefined => own.get(name) ?? outer(name);
    return {
      define(token, type) {
        const before = taken.get(token.text);
        if (before) reader.report(token, `${describeToken(token)} is made in line ${before.line} already`);
        else taken.set(token.text, token);
        const value = { name: token.text, type };
        own.set(token.text, value);
        return value;
      },
      find(token) {
        const value = look(token.text);
        if (value) return value;
        const elsewhere = taken.has(token.text) ? ', only inside a loop' : '';
        reader.report(token, `there is no value ${describeToken(token)} before this${elsewhere}`);
        return { name: token.text, type: { dtype: 'f32', dims: [] } };
      },
      inner: () => level(look),
    };
  };
  return level(() => undefined);
}
