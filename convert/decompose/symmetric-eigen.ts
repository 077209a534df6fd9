import { invariant } from '../../ir/invariant.ts';

/** Eigenvalues of a symmetric matrix, and the vectors that belong to the leading ones. */
export interface SymmetricEigen {
  /** All of them, descending. */
  readonly values: Float64Array;
  /** [vectors, n]: row i is the vector of value i, of length 1. */
  readonly vectors: Float64Array;
}

/**
 * Eigenvalues of a symmetric matrix [n, n], of which only what lies on and below the diagonal is read, with `vectors` of
 * its eigenvectors. In float64, by Householder reflections to a tridiagonal matrix and implicit QL steps (EISPACK's
 * tred1, tql2 and trbak1, Wilkinson and Reinsch 1971), so that time grows with n³: an error is as large as that of
 * rounding the matrix's largest eigenvalue. All loops run along rows.
 */
export function symmetricEigen(matrix: Float64Array, n: number, vectors: number): SymmetricEigen {
  invariant(matrix.length === n * n && vectors <= n, `${matrix.length} numbers are no matrix of ${n} rows`);
  const reduced = tridiagonalise(matrix.slice(), n);
  const turned = vectors === 0 ? undefined : identity(n);
  diagonalise(reduced, n, turned);
  const { diagonal } = reduced;
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => diagonal[j]! - diagonal[i]! || i - j);
  const leading = new Float64Array(vectors * n);
  if (turned) {
    for (let i = 0; i < vectors; i++) leading.set(turned.subarray(order[i]! * n, order[i]! * n + n), i * n);
    reflectBack(reduced, n, leading, vectors);
  }
  return { values: Float64Array.from(order, (i) => diagonal[i]!), vectors: leading };
}

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Entry i lies between i − 1 and i; entry 0 is 0. */
  readonly beside: Float64Array;
  /** Row i holds, in front of the diagonal, the vector u that reflection i is I − u uᵀ / heights[i] of. */
  readonly reflectors: Float64Array;
  /** 0 where nothing had to be reflected. */
  readonly heights: Float64Array;
}

/** Overwrites `a` with the reflectors. */
function tridiagonalise(a: Float64Array, n: number): Tridiagonal {
  const diagonal = new Float64Array(n);
  const beside = new Float64Array(n);
  const heights = new Float64Array(n);
  const p = new Float64Array(n);
  for (let i = n - 1; i > 0; i--) {
    const u = a.subarray(i * n, i * n + i);
    let rest = 0;
    for (let k = 0; k < i - 1; k++) rest += u[k]! * u[k]!;
    const last = u[i - 1]!;
    if (rest === 0) {
      beside[i] = last;
      continue;
    }
    const length = Math.sqrt(rest + last * last);
    const g = last >= 0 ? -length : length;
    const height = rest + last * last - last * g;
    beside[i] = g;
    heights[i] = height;
    u[i - 1] = last - g;

    // p = A u, each row of the lower half once: it is a column of the upper one as well.
    p.fill(0, 0, i);
    for (let j = 0; j < i; j++) {
      const row = j * n;
      const uj = u[j]!;
      let sum = 0;
      for (let k = 0; k < j; k++) {
        const x = a[row + k]!;
        sum += x * u[k]!;
        p[k] = p[k]! + x * uj;
      }
      p[j] = p[j]! + sum + a[row + j]! * uj;
    }
    let along = 0;
    for (let j = 0; j < i; j++) {
      p[j] = p[j]! / height;
      along += p[j]! * u[j]!;
    }
    const half = along / (2 * height);
    for (let j = 0; j < i; j++) p[j] = p[j]! - half * u[j]!;
    for (let j = 0; j < i; j++) {
      const row = j * n;
      const uj = u[j]!;
      const pj = p[j]!;
      for (let k = 0; k <= j; k++) a[row + k] = a[row + k]! - uj * p[k]! - pj * u[k]!;
    }
  }
  for (let i = 0; i < n; i++) diagonal[i] = a[i * n + i]!;
  return { diagonal, beside, reflectors: a, heights };
}

/** Makes the diagonal the eigenvalues, in no order. Row i of `turned` becomes the vector of value i. */
function diagonalise({ diagonal: d, beside }: Tridiagonal, n: number, turned: Float64Array | undefined): void {
  // Entry i of e lies between i and i + 1, as QL steps want it.
  const e = new Float64Array(n);
  e.set(beside.subarray(1));
  // Entries that are as nothing beside the largest: those that are so beside their neighbours only may never end.
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, Math.abs(d[i]!) + Math.abs(e[i]!));
  const nothing = largest * 2 ** -60;
  for (let low = 0; low < n; low++) {
    for (let step = 0; ; step++) {
      let high = low;
      for (; high < n - 1; high++) {
        const size = Math.abs(d[high]!) + Math.abs(d[high + 1]!);
        if (Math.abs(e[high]!) <= Math.max(nothing, size * Number.EPSILON)) break;
      }
      if (high === low) break;
      invariant(step < 60, 'an eigenvalue is not found in 60 steps');
      qlStep(d, e, low, high, turned, n);
    }
  }
}

/** One step of QL with an implicit shift on rows low … high. */
function qlStep(
  d: Float64Array,
  e: Float64Array,
  low: number,
  high: number,
  turned: Float64Array | undefined,
  n: number,
): void {
  let g = (d[low + 1]! - d[low]!) / (2 * e[low]!);
  let r = Math.hypot(g, 1);
  g = d[high]! - d[low]! + e[low]! / (g + (g >= 0 ? r : -r));
  let s = 1;
  let c = 1;
  let p = 0;
  for (let i = high - 1; i >= low; i--) {
    const f = s * e[i]!;
    const b = c * e[i]!;
    r = Math.sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r === 0) {
      // It falls apart here.
      d[i + 1] = d[i + 1]! - p;
      e[high] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1]! - p;
    const t = (d[i]! - g) * s + 2 * c * b;
    p = s * t;
    d[i + 1] = g + p;
    g = c * t - b;
    if (turned) rotateRows(turned, i * n, n, c, s);
  }
  d[low] = d[low]! - p;
  e[low] = g;
  e[high] = 0;
}

/** Turns the row at `at` and the one behind it by one angle. */
function rotateRows(rows: Float64Array, at: number, n: number, c: number, s: number): void {
  const end = at + n;
  for (let k = at; k < end; k++) {
    const x = rows[k]!;
    const y = rows[k + n]!;
    rows[k + n] = s * x + c * y;
    rows[k] = c * x - s * y;
  }
}

/** Vectors of the tridiagonal matrix, as rows, become those of the matrix that it was made of. */
function reflectBack({ reflectors, heights }: Tridiagonal, n: number, x: Float64Array, count: number): void {
  // Four vectors at a time: a reflector is read once for them.
  let v = 0;
  for (; v + 4 <= count; v += 4) {
    const [x0, x1, x2, x3] = [v * n, (v + 1) * n, (v + 2) * n, (v + 3) * n] as const;
    for (let i = 1; i < n; i++) {
      if (heights[i] === 0) continue;
      const u = i * n;
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let k = 0; k < i; k++) {
        const z = reflectors[u + k]!;
        s0 += z * x[x0 + k]!;
        s1 += z * x[x1 + k]!;
        s2 += z * x[x2 + k]!;
        s3 += z * x[x3 + k]!;
      }
      const height = heights[i]!;
      s0 /= height;
      s1 /= height;
      s2 /= height;
      s3 /= height;
      for (let k = 0; k < i; k++) {
        const z = reflectors[u + k]!;
        x[x0 + k] = x[x0 + k]! - s0 * z;
        x[x1 + k] = x[x1 + k]! - s1 * z;
        x[x2 + k] = x[x2 + k]! - s2 * z;
        x[x3 + k] = x[x3 + k]! - s3 * z;
      }
    }
  }
  for (; v < count; v++) {
    const at = v * n;
    for (let i = 1; i < n; i++) {
      if (heights[i] === 0) continue;
      const u = i * n;
      let sum = 0;
      for (let k = 0; k < i; k++) sum += reflectors[u + k]! * x[at + k]!;
      sum /= heights[i]!;
      for (let k = 0; k < i; k++) x[at + k] = x[at + k]! - sum * reflectors[u + k]!;
    }
  }
}

function identity(n: number): Float64Array {
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i++) matrix[i * n + i] = 1;
  return matrix;
}
