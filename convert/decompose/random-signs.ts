/**
 * Fills arrays with ±1 at random, the same for the same seed on every machine: xorshift128 (Marsaglia 2003), a bit for
 * each. For what leans into no direction, signs do as well as normal numbers, and need no logarithms.
 */
export function randomSigns(seed: number): (into: Float32Array) => void {
  let [x, y, z, w] = [0x9e3779b9 ^ seed, 0x243f6a88, 0xb7e15162 ^ Math.imul(seed, 0x85ebca6b), 0xdeadbeef];
  const next = (): number => {
    const t = x ^ (x << 11);
    x = y;
    y = z;
    z = w;
    w = (w ^ (w >>> 19) ^ t ^ (t >>> 8)) | 0;
    return w;
  };
  // A few turns mix what seeds have in common.
  for (let i = 0; i < 32; i++) next();
  return (into) => {
    for (let i = 0; i < into.length; i += 32) {
      const bits = next();
      const end = Math.min(32, into.length - i);
      for (let k = 0; k < end; k++) into[i + k] = (bits >>> k) & 1 ? 1 : -1;
    }
  };
}
