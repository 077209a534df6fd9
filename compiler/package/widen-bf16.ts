import { endianness } from 'node:os';
import { invariant } from '../../ir/invariant.ts';

/** A bf16 number is the upper half of the same number in f32. */
export function widenBf16(bytes: Uint8Array): Uint8Array {
  invariant(bytes.length % 2 === 0, 'half a bf16 number');
  const wide = new Uint8Array(bytes.length * 2);
  if (endianness() === 'LE' && bytes.byteOffset % 2 === 0) {
    const from = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    const to = new Uint32Array(wide.buffer);
    for (let i = 0; i < from.length; i++) to[i] = from[i]! << 16;
    return wide;
  }
  for (let i = 0; i < bytes.length; i += 2) {
    wide[2 * i + 2] = bytes[i]!;
    wide[2 * i + 3] = bytes[i + 1]!;
  }
  return wide;
}
