/** Memory of a device, and what takes of it. Bytes. */
export interface MemoryLimit {
  readonly bytes: number;
  readonly weights: number;
  readonly workspace: number;
  /** Keys and values of one position at one depth: all layers of the block. */
  readonly cacheBytesPerPosition: number;
  /** The same of prelude and coda, which have them once. */
  readonly boundaryCacheBytesPerPosition: number;
  /** Positions of a page: a sequence takes whole pages. */
  readonly pageSize: number;
}

/**
 * Bytes that the caches of a sequence take.
 * @param depths with caches of their own: the loops, or 1 where all depths share one
 */
export function cacheBytes(memory: MemoryLimit, positions: number, depths: number): number {
  const { cacheBytesPerPosition, boundaryCacheBytesPerPosition, pageSize } = memory;
  const held = Math.ceil(positions / pageSize) * pageSize;
  return held * (depths * cacheBytesPerPosition + boundaryCacheBytesPerPosition);
}

/** Sequences of so many positions whose caches fit beside weights and workspace; 0 when not even one does. */
export function sequencesThatFit(memory: MemoryLimit, positions: number, depths: number): number {
  const left = memory.bytes - memory.weights - memory.workspace;
  const each = cacheBytes(memory, positions, depths);
  if (left < 0) return 0;
  return each === 0 ? Number.POSITIVE_INFINITY : Math.floor(left / each);
}
