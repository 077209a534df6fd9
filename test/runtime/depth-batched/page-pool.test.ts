import { describe, expect, test } from 'vitest';
import { pagePool } from '../../../runtime/depth-batched/page-pool.ts';

describe('a pool', () => {
  test('hands out every page but page 0, each to one at a time', () => {
    const pool = pagePool(4);
    expect(pool.total).toBe(3);
    const pages = [pool.take(), pool.take(), pool.take()];
    expect(pages).toEqual([1, 2, 3]);
    expect(pool.used()).toBe(3);
    expect(() => pool.take()).toThrow('empty');
    pool.give([2]);
    expect(pool.used()).toBe(2);
    expect(pool.take()).toBe(2);
  });

  test('takes a page back once, from who had it', () => {
    const pool = pagePool(3);
    const page = pool.take();
    pool.give([page]);
    expect(() => pool.give([page])).toThrow(`page ${page}`);
    expect(() => pool.give([0])).toThrow('page 0');
    expect(() => pool.give([9])).toThrow('page 9');
    expect(pool.used()).toBe(0);
  });

  test('may be empty', () => {
    expect(pagePool(0).total).toBe(0);
    expect(pagePool(1).total).toBe(0);
  });
});
