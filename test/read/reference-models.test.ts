import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readModel } from '../../compiler/read/read-model.ts';

const models = join(import.meta.dirname, '../models');
const names = readdirSync(models).toSorted();

test('there are eight', () => {
  expect(names).toHaveLength(8);
});

describe.each(names)('%s', (name) => {
  test('reads without a word', async () => {
    const result = await readModel(join(models, name));
    expect(result.diagnostics).toEqual([]);
    expect(result.ok && result.value.name).toBe(name);
  });
});
