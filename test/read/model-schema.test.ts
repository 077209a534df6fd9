import { join } from 'node:path';
import { expect, test } from 'vitest';
import { modelSchemaText } from '../../compiler/read/model-json.ts';

test('schema/model.schema.json is what the validator says; `npx vitest run -u` writes it anew', async () => {
  await expect(modelSchemaText()).toMatchFileSnapshot(join(import.meta.dirname, '../../schema/model.schema.json'));
});
