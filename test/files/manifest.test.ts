import { expect, test } from 'vitest';
import { formatManifest, manifestJsonSchema, manifestSchema } from '../../files/manifest.ts';
import { exampleManifest } from '../support/example-manifest.ts';

test('the shipped JSON Schema is the one of the validator', async () => {
  await expect(`${JSON.stringify(manifestJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(
    '../../schema/rtc-package.schema.json',
  );
});

test('a manifest reads back as it was written', () => {
  const text = formatManifest(exampleManifest());
  expect(manifestSchema.parse(JSON.parse(text))).toEqual({
    ...exampleManifest(),
    $schema: '../node_modules/rtc/schema/rtc-package.schema.json',
  });
});

test('keys are written in order, whatever order they were given in', () => {
  const manifest = exampleManifest();
  const reversed = Object.fromEntries(Object.entries(manifest).reverse()) as typeof manifest;
  const files = Object.fromEntries(Object.entries(manifest.files).reverse());
  expect(formatManifest({ ...reversed, files })).toBe(formatManifest(manifest));
});

test('keys that other versions may add are no error', () => {
  const later = { ...exampleManifest(), added: true };
  expect(manifestSchema.parse(later)).toEqual(exampleManifest());
});
