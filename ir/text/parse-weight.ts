import { isFloat } from '../dtype.ts';
import type { WeightExpr } from '../weights.ts';
import { parseCount, parseDType, parseNumber, parseNumericType } from './parse-parts.ts';
import type { TokenReader } from './token-reader.ts';

/** Deeper than anyone's weights are, and shallower than the stack. */
const deepest = 100;

const kinds = ['file', 'literal', 'cast', 'transpose', 'offset', 'concat', 'stack', 'merge'] as const;

/** A weight's expression, as formatWeight writes it. */
export function parseWeight(reader: TokenReader, depth = 0): WeightExpr {
  const start = reader.peek();
  if (depth > deepest) return reader.abandon(start, `expected at most ${deepest} expressions inside one another`);
  const kind = start.kind === 'name' ? kinds.find((k) => k === start.text) : undefined;
  if (kind === undefined) return reader.fail(`one of ${kinds.join(', ')}`);
  reader.next();
  const parts = (count?: number): WeightExpr[] => {
    reader.expect('(');
    const of = reader.list(')', () => parseWeight(reader, depth + 1));
    if (of.length === 0 || (count !== undefined && of.length !== count)) {
      return reader.abandon(start, `expected ${count ?? 'at least one'} in ${kind}(…), found ${of.length}`);
    }
    return of;
  };
  const parameter = <T>(read: () => T): T => {
    reader.expect('<');
    const value = read();
    reader.expect('>');
    return value;
  };
  switch (kind) {
    case 'file': {
      const [file, tensor] = [parseString(reader, 'the file'), parseString(reader, 'the tensor')];
      const { dtype, dims } = parseNumericType(reader);
      reader.expect('@', 'and the place in the file');
      const offset = parseCount(reader);
      reader.expect('+', 'and the length in bytes');
      return { kind, file, tensor, dtype, dims, offset, length: parseCount(reader) };
    }
    case 'literal': {
      const { dtype, dims } = parseNumericType(reader);
      const open = reader.expect('[', 'and the numbers');
      const values = reader.list(']', () => parseNumber(reader));
      const count = dims.reduce((product, dim) => product * dim, 1);
      if (values.length !== count) return reader.abandon(open, `expected ${count} numbers, found ${values.length}`);
      return { kind, dtype, dims, values };
    }
    case 'cast': {
      const to = parameter(() => {
        const at = reader.peek();
        const dtype = parseDType(reader);
        return isFloat(dtype) ? dtype : reader.fail('a float type', at);
      });
      return { kind, of: parts(1)[0]!, to };
    }
    case 'transpose': {
      const perm = parameter(() => {
        reader.expect('[');
        return reader.list(']', () => parseCount(reader));
      });
      return { kind, of: parts(1)[0]!, perm };
    }
    case 'offset': {
      const by = parameter(() => parseNumber(reader));
      return { kind, of: parts(1)[0]!, by };
    }
    case 'concat': {
      const axis = parameter(() => parseCount(reader));
      return { kind, axis, of: parts() };
    }
    case 'stack':
      return { kind, of: parts() };
    case 'merge': {
      const scale = parameter(() => parseNumber(reader));
      const [base, a, b] = parts(3);
      return { kind, base: base!, a: a!, b: b!, scale };
    }
  }
}

function parseString(reader: TokenReader, what: string): string {
  if (reader.peek().kind !== 'string') return reader.fail(`the name of ${what} in quotes`);
  return reader.next().text;
}
