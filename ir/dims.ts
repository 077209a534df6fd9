import { invariant } from './invariant.ts';

/**
 * The size of an axis: a number, or a polynomial over named sizes in canonical text, such as `past+sequence`.
 * Canonical text makes equal sizes equal strings; make new ones with {@link addDims} and {@link multiplyDims}.
 */
export type Dim = number | string;

/** Monomial (its names sorted and joined by `*`, empty for the constant) to coefficient. */
type Polynomial = Map<string, number>;

const name = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Reads a dim written by a person or the printer; undefined when the text is not one. */
export function parseDim(text: string): Dim | undefined {
  const sum: Polynomial = new Map();
  const terms = text.replaceAll(' ', '').match(/[+-]?[^+-]+/g);
  if (!terms || terms.join('') !== text.replaceAll(' ', '')) return undefined;
  for (const term of terms) {
    let coefficient = term.startsWith('-') ? -1 : 1;
    const names: string[] = [];
    for (const factor of term.replace(/^[+-]/, '').split('*')) {
      if (/^\d+$/.test(factor)) coefficient *= Number(factor);
      else if (name.test(factor)) names.push(factor);
      else return undefined;
    }
    addTerm(sum, names.sort().join('*'), coefficient);
  }
  return format(sum);
}

export function addDims(...dims: readonly Dim[]): Dim {
  const sum: Polynomial = new Map();
  for (const dim of dims) for (const [monomial, coefficient] of polynomial(dim)) addTerm(sum, monomial, coefficient);
  return format(sum);
}

export function subtractDims(a: Dim, b: Dim): Dim {
  return addDims(a, multiplyDims(-1, b));
}

export function multiplyDims(...dims: readonly Dim[]): Dim {
  let product: Polynomial = new Map([['', 1]]);
  for (const dim of dims) {
    const next: Polynomial = new Map();
    for (const [left, a] of product) {
      for (const [right, b] of polynomial(dim)) {
        const names = [...left.split('*'), ...right.split('*')].filter((n) => n !== '');
        addTerm(next, names.sort().join('*'), a * b);
      }
    }
    product = next;
  }
  return format(product);
}

/** The names a dim is made of, sorted. */
export function symbolsOf(dim: Dim): readonly string[] {
  const names = [...polynomial(dim).keys()].flatMap((monomial) => monomial.split('*'));
  return [...new Set(names.filter((n) => n !== ''))].sort();
}

/** One product of a dim: `3*batch*past` has the coefficient 3 and the symbols batch and past; a number has none. */
export interface Monomial {
  readonly coefficient: number;
  readonly symbols: readonly string[];
}

/** The products that a dim is the sum of, in canonical order, for whoever computes it step by step; none for 0. */
export function monomialsOf(dim: Dim): readonly Monomial[] {
  return [...polynomial(dim)]
    .filter(([, coefficient]) => coefficient !== 0)
    .map(([monomial, coefficient]) => ({ coefficient, symbols: monomial === '' ? [] : monomial.split('*') }));
}

/** The number that `dim` stands for once its names have values. Throws when a name has none. */
export function evaluateDim(dim: Dim, sizes: ReadonlyMap<string, number>): number {
  if (typeof dim === 'number') return dim;
  let total = 0;
  for (const [monomial, coefficient] of polynomial(dim)) {
    let term = coefficient;
    for (const symbol of monomial === '' ? [] : monomial.split('*')) {
      const size = sizes.get(symbol);
      invariant(size !== undefined, `the size "${symbol}" of dim "${dim}" is not bound`);
      term *= size;
    }
    total += term;
  }
  return total;
}

function polynomial(dim: Dim): Polynomial {
  if (typeof dim === 'number') return new Map([['', dim]]);
  if (name.test(dim)) return new Map([[dim, 1]]);
  const terms: Polynomial = new Map();
  for (const term of dim.match(/[+-]?[^+-]+/g) ?? []) {
    const factors = term.replace(/^[+-]/, '').split('*');
    const number = /^\d+$/.test(factors[0]!) ? Number(factors.shift()) : 1;
    addTerm(terms, factors.join('*'), term.startsWith('-') ? -number : number);
  }
  return terms;
}

function addTerm(sum: Polynomial, monomial: string, coefficient: number): void {
  const total = (sum.get(monomial) ?? 0) + coefficient;
  if (total === 0) sum.delete(monomial);
  else sum.set(monomial, total);
}

/** Named monomials in order, positive ones first so that no text starts with a minus it can avoid; the constant last. */
function format(sum: Polynomial): Dim {
  const constant = sum.get('') ?? 0;
  const named = [...sum].filter(([monomial]) => monomial !== '');
  if (named.length === 0) return constant;
  named.sort(([m, a], [n, b]) => Number(a < 0) - Number(b < 0) || (m < n ? -1 : 1));
  let text = '';
  for (const [monomial, coefficient] of named) {
    const factor = Math.abs(coefficient) === 1 ? monomial : `${Math.abs(coefficient)}*${monomial}`;
    text += (coefficient < 0 ? '-' : text === '' ? '' : '+') + factor;
  }
  return constant === 0 ? text : `${text}${constant > 0 ? '+' : '-'}${Math.abs(constant)}`;
}
