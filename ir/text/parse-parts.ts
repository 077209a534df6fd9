import { type Dim, parseDim } from '../dims.ts';
import { type DType, dtypes, isDType } from '../dtype.ts';
import type { AttrKind, AttrValue } from '../op-table.ts';
import { type TensorType, tensor } from '../tensor-type.ts';
import type { TokenReader } from './token-reader.ts';

/** `f32[batch,4]`. */
export function parseType(reader: TokenReader): TensorType {
  const dtype = parseDType(reader);
  reader.expect('[', 'and the dims of the type');
  return tensor(
    dtype,
    reader.list(']', () => parseDimension(reader)),
  );
}

/** A type whose dims are all numbers, as a weight's are. */
export function parseNumericType(reader: TokenReader): { readonly dtype: DType; readonly dims: readonly number[] } {
  const dtype = parseDType(reader);
  reader.expect('[', 'and the dims of the type');
  return { dtype, dims: reader.list(']', () => parseCount(reader)) };
}

export function parseDType(reader: TokenReader): DType {
  const token = reader.peek();
  if (token.kind !== 'name' || !isDType(token.text)) return reader.fail(`one of ${Object.keys(dtypes).join(', ')}`);
  reader.next();
  return token.text;
}

/** A number from 0 on that counts something. */
export function parseCount(reader: TokenReader): number {
  const token = reader.peek();
  if (token.kind !== 'number' || !Number.isSafeInteger(Number(token.text))) return reader.fail('a whole number');
  reader.next();
  return Number(token.text);
}

/** `1e-5`, `-0`, `inf`, `nan`. */
export function parseNumber(reader: TokenReader): number {
  const sign = reader.accept('-') ? -1 : 1;
  const token = reader.peek();
  if (token.kind === 'number') return sign * Number(reader.next().text);
  if (reader.accept('inf')) return sign * Number.POSITIVE_INFINITY;
  if (sign > 0 && reader.accept('nan')) return Number.NaN;
  return reader.fail('a number');
}

/** `4`, `past+sequence`, `2*batch-1`. */
export function parseDimension(reader: TokenReader): Dim {
  const start = reader.peek();
  let text = '';
  for (let token = start; ; token = reader.peek()) {
    const operator = token.kind === 'punctuation' && ['+', '-', '*'].includes(token.text);
    if (!operator && token.kind !== 'name' && token.kind !== 'number') break;
    // A space between two names would be lost.
    text += `${text === '' ? '' : ' '}${reader.next().text}`;
  }
  if (text === '') return reader.fail('a number or a name such as past+sequence');
  const dim = /\w \w/.test(text) ? undefined : parseDim(text);
  // Numbers beyond the safe ones do not come back the same.
  if (dim === undefined || parseDim(String(dim)) !== dim || (typeof dim === 'number' && !Number.isSafeInteger(dim))) {
    return reader.abandon(
      start,
      `expected a number or a name such as past+sequence, found "${text.replaceAll(' ', '')}"`,
    );
  }
  return dim;
}

/** The value of an attribute of some kind. */
export function parseAttr(reader: TokenReader, kind: AttrKind): AttrValue {
  if (typeof kind !== 'string') {
    const token = reader.peek();
    if (token.kind !== 'name' || !kind.includes(token.text)) return reader.fail(`one of ${kind.join(', ')}`);
    return reader.next().text;
  }
  switch (kind) {
    case 'int':
      return parseInteger(reader);
    case 'float':
      return parseNumber(reader);
    case 'bool':
      if (reader.accept('true')) return true;
      return reader.accept('false') ? false : reader.fail('true or false');
    case 'ints':
      return parseItems(reader, () => parseInteger(reader));
    case 'numbers':
      return parseItems(reader, () => parseNumber(reader));
    case 'dim':
      return parseDimension(reader);
    case 'dims':
      return parseItems(reader, () => parseDimension(reader));
    case 'dtype':
      return parseDType(reader);
  }
}

function parseInteger(reader: TokenReader): number {
  const negative = reader.accept('-');
  const count = parseCount(reader);
  return negative && count !== 0 ? -count : count;
}

function parseItems<T>(reader: TokenReader, item: () => T): T[] {
  reader.expect('[');
  return reader.list(']', item);
}
