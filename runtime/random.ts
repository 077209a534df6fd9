const golden = 0x9e3779b97f4a7c15n;
const mask = (1n << 64n) - 1n;

/**
 * Number `draw` (from 0) of the stream that `seed` names, at least 0 and less than 1.
 * It is splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014), addressed by position:
 * output `draw + 1` of a generator whose state starts at the scrambled seed, its top 53 bits over 2^53. Nothing is
 * stored, so a draw depends on nothing but its seed and its place.
 */
export function uniform(seed: number, draw: number): number {
  const start = scramble(BigInt.asUintN(64, BigInt(seed)) ^ golden);
  const bits = scramble((start + golden * BigInt(draw + 1)) & mask);
  return Number(bits >> 11n) / 2 ** 53;
}

function scramble(state: bigint): bigint {
  let bits = state;
  bits = ((bits ^ (bits >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
  bits = ((bits ^ (bits >> 27n)) * 0x94d049bb133111ebn) & mask;
  return bits ^ (bits >> 31n);
}
