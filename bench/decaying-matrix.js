// A matrix whose singular values are known and decay as those of weights do: a diagonal one, turned on either side by
// plane rotations at random angles, rounds of them between rows (columns) at random distances. Deterministic.

/** Singular value i is (1 + i)^-exponent. @returns {{ rows: number, cols: number, data: Float32Array }} */
export function decayingMatrix(rows, cols, { exponent = 0.7, seed = 1 } = {}) {
  const data = new Float32Array(rows * cols);
  const next = randomNumbers(seed);
  const diagonal = Math.min(rows, cols);
  // Large ones come to lie anywhere, since rotations are too few to forget where they were.
  const [rowAt, columnAt] = [shuffled(rows, next), shuffled(cols, next)];
  for (let i = 0; i < diagonal; i++) data[rowAt[i] * cols + columnAt[i]] = (1 + i) ** -exponent;
  for (let round = 0; round < 14; round++) rotateRows(data, rows, cols, distance(rows, round, next), next);
  for (let round = 0; round < 14; round++) rotateColumns(data, rows, cols, distance(cols, round, next), next);
  return { rows, cols, data };
}

/** Independent entries with the normal distribution: nothing stands out. */
export function normalMatrix(rows, cols, seed = 1) {
  const next = randomNumbers(seed);
  const data = Float32Array.from({ length: rows * cols }, () => {
    return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  });
  return { rows, cols, data };
}

/** From 0 to before 1: xorshift32. */
export function randomNumbers(seed) {
  let x = (seed * 0x9e3779b9) | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

/** 0 … length − 1 in random order. */
export function shuffled(length, next) {
  const order = Uint32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Powers of two reach everything in log2(size) rounds; a little more or less keeps odd sizes from missing any. */
function distance(size, round, next) {
  const power = 2 ** (round % Math.max(1, Math.floor(Math.log2(size))));
  return Math.max(1, Math.min(size - 1, power + (power > 8 ? Math.floor(next() * 3) - 1 : 0)));
}

function* pairs(size, apart, next) {
  const taken = new Uint8Array(size);
  for (let i = 0; i + apart < size; i++) {
    if (taken[i] || taken[i + apart]) continue;
    taken[i] = 1;
    taken[i + apart] = 1;
    const angle = 2 * Math.PI * next();
    yield [i, i + apart, Math.cos(angle), Math.sin(angle)];
  }
}

function rotateRows(data, rows, cols, apart, next) {
  for (const [i, j, c, s] of pairs(rows, apart, next)) {
    const [a, b] = [i * cols, j * cols];
    for (let k = 0; k < cols; k++) {
      const [x, y] = [data[a + k], data[b + k]];
      data[a + k] = c * x - s * y;
      data[b + k] = s * x + c * y;
    }
  }
}

function rotateColumns(data, rows, cols, apart, next) {
  const list = [...pairs(cols, apart, next)];
  const at = Uint32Array.from(list, ([i]) => i);
  const cosines = Float64Array.from(list, ([, , c]) => c);
  const sines = Float64Array.from(list, ([, , , s]) => s);
  for (let row = 0; row < rows; row++) {
    const start = row * cols;
    for (let k = 0; k < at.length; k++) {
      const i = start + at[k];
      const x = data[i];
      const y = data[i + apart];
      data[i] = cosines[k] * x - sines[k] * y;
      data[i + apart] = sines[k] * x + cosines[k] * y;
    }
  }
}
