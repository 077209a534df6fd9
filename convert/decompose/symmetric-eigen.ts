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

    multiplySymmetric(a, n, i, p);
    let along = 0;
    for (let j = 0; j < i; j++) {
      p[j] = p[j]! / height;
      along += p[j]! * u[j]!;
    }
    const half = along / (2 * height);
    for (let j = 0; j < i; j++) p[j] = p[j]! - half * u[j]!;
    subtractPair(a, n, i, p);
  }
  for (let i = 0; i < n; i++) diagonal[i] = a[i * n + i]!;
  return { diagonal, beside, reflectors: a, heights };
}

/** p = A u for the leading `size` rows of A, of which the lower half is there, and u in the row behind them. */
function multiplySymmetric(a: Float64Array, n: number, size: number, p: Float64Array): void {
  const u = size * n;
  p.fill(0, 0, size);
  // Each row of the lower half is a column of the upper one as well. Two at a time: what is read serves both.
  let j = 0;
  for (; j + 1 < size; j += 2) {
    const row = j * n;
    const below = j * n + n;
    const u0 = a[u + j]!;
    const u1 = a[u + j + 1]!;
    let s0 = 0;
    let s1 = 0;
    for (let k = 0; k < j; k++) {
      const x = a[row + k]!;
      const y = a[below + k]!;
      const z = a[u + k]!;
      s0 += x * z;
      s1 += y * z;
      p[k] = p[k]! + x * u0 + y * u1;
    }
    const between = a[below + j]!;
    p[j] = p[j]! + s0 + a[row + j]! * u0 + between * u1;
    p[j + 1] = p[j + 1]! + s1 + between * u0 + a[below + j + 1]! * u1;
  }
  if (j < size) {
    let sum = 0;
    for (let k = 0; k < j; k++) {
      const x = a[j * n + k]!;
      sum += x * a[u + k]!;
      p[k] = p[k]! + x * a[u + j]!;
    }
    p[j] = p[j]! + sum + a[j * n + j]! * a[u + j]!;
  }
}

/** A − u pᵀ − p uᵀ in the lower half of the leading `size` rows. */
function subtractPair(a: Float64Array, n: number, size: number, p: Float64Array): void {
  const u = size * n;
  let j = 0;
  for (; j + 1 < size; j += 2) {
    const row = j * n;
    const below = j * n + n;
    const u0 = a[u + j]!;
    const u1 = a[u + j + 1]!;
    const p0 = p[j]!;
    const p1 = p[j + 1]!;
    // What the first row gets beyond its diagonal is never read.
    for (let k = 0; k <= j + 1; k++) {
      const uk = a[u + k]!;
      const pk = p[k]!;
      a[row + k] = a[row + k]! - u0 * pk - p0 * uk;
      a[below + k] = a[below + k]! - u1 * pk - p1 * uk;
    }
  }
  if (j < size) for (let k = 0; k <= j; k++) a[j * n + k] = a[j * n + k]! - a[u + j]! * p[k]! - p[j]! * a[u + k]!;
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
  const rotations = { cosines: new Float64Array(n), sines: new Float64Array(n) };
  for (let low = 0; low < n; low++) {
    for (let step = 0; ; step++) {
      let high = low;
      for (; high < n - 1; high++) {
        const size = Math.abs(d[high]!) + Math.abs(d[high + 1]!);
        if (Math.abs(e[high]!) <= Math.max(nothing, size * Number.EPSILON)) break;
      }
      if (high === low) break;
      invariant(step < 60, 'an eigenvalue is not found in 60 steps');
      const lowest = qlStep(d, e, low, high, rotations);
      if (turned) rotateRows(turned, n, lowest, high, rotations);
    }
  }
}

/** Rotations of one step: number i turns rows i and i + 1. */
interface Rotations {
  readonly cosines: Float64Array;
  readonly sines: Float64Array;
}

/** One step of QL with an implicit shift on rows low … high; returns the lowest rotation, of those up to high − 1. */
function qlStep(d: Float64Array, e: Float64Array, low: number, high: number, { cosines, sines }: Rotations): number {
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
      return i + 1;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1]! - p;
    const t = (d[i]! - g) * s + 2 * c * b;
    p = s * t;
    d[i + 1] = g + p;
    g = c * t - b;
    cosines[i] = c;
    sines[i] = s;
  }
  d[low] = d[low]! - p;
  e[low] = g;
  e[high] = 0;
  return low;
}

/** Turns rows, from rotation high − 1 down to low. */
function rotateRows(rows: Float64Array, n: number, low: number, high: number, { cosines, sines }: Rotations): void {
  let i = high - 1;
  // Four at a time: a row between two rotations is read and written once.
  for (; i - 3 >= low; i -= 4) {
    const c0 = cosines[i - 3]!;
    const c1 = cosines[i - 2]!;
    const c2 = cosines[i - 1]!;
    const c3 = cosines[i]!;
    const s0 = sines[i - 3]!;
    const s1 = sines[i - 2]!;
    const s2 = sines[i - 1]!;
    const s3 = sines[i]!;
    const r0 = (i - 3) * n;
    const r1 = (i - 2) * n;
    const r2 = (i - 1) * n;
    const r3 = i * n;
    const r4 = (i + 1) * n;
    for (let k = 0; k < n; k++) {
      const x0 = rows[r0 + k]!;
      const x1 = rows[r1 + k]!;
      const x2 = rows[r2 + k]!;
      const x3 = rows[r3 + k]!;
      const x4 = rows[r4 + k]!;
      rows[r4 + k] = s3 * x3 + c3 * x4;
      const y3 = c3 * x3 - s3 * x4;
      rows[r3 + k] = s2 * x2 + c2 * y3;
      const y2 = c2 * x2 - s2 * y3;
      rows[r2 + k] = s1 * x1 + c1 * y2;
      const y1 = c1 * x1 - s1 * y2;
      rows[r1 + k] = s0 * x0 + c0 * y1;
      rows[r0 + k] = c0 * x0 - s0 * y1;
    }
  }
  for (; i >= low; i--) {
    const c = cosines[i]!;
    const s = sines[i]!;
    const end = i * n + n;
    for (let k = i * n; k < end; k++) {
      const x = rows[k]!;
      const y = rows[k + n]!;
      rows[k + n] = s * x + c * y;
      rows[k] = c * x - s * y;
    }
  }
}

/** Vectors of the tridiagonal matrix, as rows, become those of the matrix that it was made of. */
function reflectBack({ reflectors, heights }: Tridiagonal, n: number, x: Float64Array, count: number): void {
  // Four vectors at a time: a reflector is read once for them.
  let v = 0;
  for (; v + 4 <= count; v += 4) {
    const x0 = v * n;
    const x1 = (v + 1) * n;
    const x2 = (v + 2) * n;
    const x3 = (v + 3) * n;
    for (let i = 1; i < n; i++) {
      if (heights[i] === 0) continue;
      const u = i * n;
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
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
