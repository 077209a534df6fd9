import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type JsonDocument, locationOf, parseJson, readJson, showPath, showValue, valueAt } from '../../files/json.ts';
import { issueDiagnostics } from '../../files/json-issues.ts';

function document(text: string): JsonDocument {
  const result = parseJson(text, 'x.json');
  if (!result.ok) throw new Error(JSON.stringify(result.diagnostics));
  return result.value;
}

describe('places', () => {
  const nested = document('{\n  "recursion": {\r\n    "loops": 2\r\n  },\n  "weights": ["a", "b"]\n}');

  test('of a value, and of a key', () => {
    expect(locationOf(nested, ['recursion', 'loops'])).toEqual({
      file: 'x.json',
      path: 'recursion.loops',
      line: 3,
      column: 14,
    });
    expect(locationOf(nested, ['recursion', 'loops'], 'key')).toMatchObject({ line: 3, column: 5 });
    expect(locationOf(nested, ['weights', 1])).toEqual({ file: 'x.json', path: 'weights[1]', line: 5, column: 20 });
  });

  test('of what is not there: the object that should have it', () => {
    expect(locationOf(nested, ['recursion', 'block'])).toMatchObject({ path: 'recursion.block', line: 2, column: 16 });
    expect(locationOf(nested, ['weights', 7, 'x'])).toMatchObject({ path: 'weights[7].x', line: 5, column: 14 });
    expect(locationOf(nested, [])).toEqual({ file: 'x.json', line: 1, column: 1 });
  });

  test('lines end with a line feed, a carriage return or both', () => {
    const text = '{"a":1,\r"b":2,\r\n"c":3,\n"d":4}';
    expect(['a', 'b', 'c', 'd'].map((key) => locationOf(document(text), [key], 'key').line)).toEqual([1, 2, 3, 4]);
  });

  test('a path as text', () => {
    expect(showPath(['weight_map', 'model.norm.weight', 0, 'a'])).toBe('weight_map["model.norm.weight"][0].a');
  });
});

test('only own keys are values', () => {
  const json = document('{"a": {"b": [1]}}');
  expect(valueAt(json, ['a', 'b', 0])).toBe(1);
  expect(valueAt(json, ['toString'])).toBeUndefined();
  expect(valueAt(json, ['a', 'b', 'length'])).toBe(1);
  expect(valueAt(json, ['a', 'x', 'y'])).toBeUndefined();
});

test('values as a message shows them', () => {
  expect(showValue('x'.repeat(100))).toHaveLength(60);
  expect([[], {}, null, undefined, 'a\nb', [1, 2]].map(showValue)).toEqual([
    'an empty list',
    'an object',
    'null',
    'nothing',
    '"a\\nb"',
    '[1,2]',
  ]);
});

describe('what is refused, and where', () => {
  const refused = (text: string) => {
    const { ok, diagnostics } = parseJson(text, 'x.json');
    expect(ok).toBe(false);
    return diagnostics.map(({ code, location }) => [code, location?.line, location?.column]);
  };

  test.each([
    ['', 'invalid-json', 1, 1],
    ['{"a": 1,}', 'invalid-json', 1, 9],
    ['{"a": 1} // x', 'invalid-json', 1, 10],
    ['{"a": NaN}', 'invalid-json', 1, 7],
    ["{'a': 1}", 'invalid-json', 1, 2],
    ['{"a": 01}', 'invalid-json', 1, 8],
    ['{"a": "\t"}', 'invalid-json', 1, 7],
    ['{"a": "\\x"}', 'invalid-json', 1, 7],
    ['{"a": 1}\n{', 'invalid-json', 2, 1],
    ['\uFEFF{}', 'byte-order-mark', 1, 1],
    ['{\n "a": 1,\n "a": 2}', 'duplicate-key', 3, 2],
    ['{"a": {"__proto__": 1}}', 'forbidden-key', 1, 8],
    ['{"a": {"\\u005f_proto__": 1}}', 'forbidden-key', 1, 8],
    ['{"a": [1, -1e999]}', 'number-too-large', 1, 11],
  ])('%j is %s at %i:%i', (text, code, line, column) => {
    expect(refused(text)).toEqual([[code, line, column]]);
  });

  test('several at once', () => {
    expect(refused('{"a": 1e999, "a": 1e999, "constructor": 0}').map(([code]) => code)).toEqual([
      'duplicate-key',
      'forbidden-key',
      'number-too-large',
      'number-too-large',
    ]);
  });

  test('nesting beyond the limit, however deep', () => {
    const deep = (n: number) => '['.repeat(n) + ']'.repeat(n);
    expect(parseJson(deep(64), 'x').ok).toBe(true);
    expect(refused(deep(65))).toEqual([['too-deep', 1, 65]]);
    expect(refused(deep(1_000_000))).toEqual([['too-deep', 1, 65]]);
    expect(refused(`${'{"a":'.repeat(1_000_000)}`)).toMatchObject([['too-deep', 1, 321]]);
  });

  test('one key in two objects, and a value that looks like a key, are fine', () => {
    expect(parseJson('{"a": {"a": "a"}, "b": ["a", "a", "__proto__"]}', 'x').ok).toBe(true);
    expect(parseJson('{"a\\"": 1, "a": "\\\\"}', 'x').ok).toBe(true);
  });
});

test('JSON is refused or is what JSON.parse makes of it; nothing throws', () => {
  const texts = fc.oneof(fc.json(), fc.string(), fc.string({ unit: fc.constantFrom(...'{}[]":,\\ 1e-tfn\n') }));
  fc.assert(
    fc.property(texts, (text) => {
      const result = parseJson(text, 'x');
      if (result.ok) expect(result.value.value).toEqual(JSON.parse(text));
      else expect(result.diagnostics.length).toBeGreaterThan(0);
    }),
    { numRuns: 2000 },
  );
});

describe('reading a file', () => {
  test('what cannot be read, is too large, or is no text', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'rtc-json-'));
    const code = async (path: string, limits?: { maxBytes: number; maxDepth: number }) =>
      (await readJson(path, 'shown.json', limits)).diagnostics.map((d) => [d.code, d.location?.file])[0];
    try {
      const path = join(folder, 'x.json');
      expect(await code(path)).toEqual(['missing-file', 'shown.json']);
      expect(await code(folder)).toEqual(['not-a-file', 'shown.json']);
      writeFileSync(path, '{"a": 1}');
      expect(await code(path)).toBeUndefined();
      expect(await code(path, { maxBytes: 7, maxDepth: 9 })).toEqual(['file-too-large', 'shown.json']);
      writeFileSync(path, Buffer.from([0x22, 0xc3, 0x22]));
      expect(await code(path)).toEqual(['invalid-utf8', 'shown.json']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('what a schema finds', () => {
  const schema = z.strictObject({
    recursion: z.strictObject({ loops: z.number().int().min(1), block: z.number().int() }),
    kind: z.enum(['a', 'b']).optional(),
    list: z
      .array(z.strictObject({ inner: z.string() }))
      .max(2)
      .optional(),
    name: z.string().regex(/^x/, 'text that starts with x').optional(),
  });
  const told = (value: unknown) => {
    const json = document(JSON.stringify(value));
    const parsed = schema.safeParse(json.value);
    if (parsed.success) throw new Error('nothing found');
    return issueDiagnostics(json, parsed.error.issues, schema).map(({ code, location, message, hint }) => [
      code,
      location?.path,
      message,
      ...(hint === undefined ? [] : [hint]),
    ]);
  };

  test('an unknown key, with the one that was meant', () => {
    expect(told({ recursion: { loops: 1, block: 1, loop: 2 } })).toEqual([
      ['unknown-key', 'recursion.loop', 'There is no key "loop" in "recursion". Did you mean "loops"?'],
    ]);
    expect(told({ recursion: { loops: 1, block: 1 }, list: [{ inner: '', iner: 1 }] })).toEqual([
      ['unknown-key', 'list[0].iner', 'There is no key "iner" in "list[0]". Did you mean "inner"?'],
    ]);
    expect(told({ recursion: { loops: 1, block: 1, zebra: 2 } })).toEqual([
      ['unknown-key', 'recursion.zebra', 'There is no key "zebra" in "recursion".', 'Known keys are loops, block.'],
    ]);
  });

  test('what was found and what was expected, all at once', () => {
    expect(told({ recursion: { loops: 0, block: 1.5 }, kind: 'c', list: [1, 2, 3], name: 'y' })).toEqual([
      ['wrong-value', 'recursion.loops', 'Expected a number of at least 1 at "recursion.loops", found 0.'],
      ['wrong-type', 'recursion.block', 'Expected a whole number at "recursion.block", found 1.5.'],
      ['wrong-value', 'kind', 'Expected one of "a", "b" at "kind", found "c".'],
      ['wrong-value', 'list', 'Expected a list of at most 2 at "list", found [1,2,3].'],
      ['wrong-value', 'name', 'Expected text that starts with x at "name", found "y".'],
    ]);
  });

  test('what is missing', () => {
    expect(told({ recursion: { loops: 1 } })).toEqual([
      ['missing-key', 'recursion.block', 'The key "recursion.block" is missing; a number was expected.'],
    ]);
    expect(told([])).toEqual([['wrong-type', undefined, 'Expected an object at the file, found an empty list.']]);
  });
});
