import { type Malformed, modelText } from './change.ts';

/** A model.json that is no JSON, or JSON that could surprise. */
export const malformedJson: readonly Malformed[] = [
  {
    title: 'an empty model.json',
    make: modelText(() => ''),
    code: 'invalid-json',
    in: 'model.json',
    says: ['is not valid JSON'],
  },
  {
    title: 'half a model.json',
    make: modelText((text) => text.slice(0, text.length / 2)),
    code: 'invalid-json',
    in: 'model.json',
    says: ['is not valid JSON', 'a string that does not end'],
  },
  {
    title: 'a trailing comma',
    make: modelText((text) => text.replace(/\n\}\n$/, ',\n}\n')),
    code: 'invalid-json',
    in: 'model.json',
    says: ['a key in double quotes was expected'],
  },
  { title: 'a comment', make: modelText((text) => `// mine\n${text}`), code: 'invalid-json', says: ['a comment'] },
  { title: 'a list', make: modelText(() => '[]'), code: 'wrong-format', says: ['"rtc-model" was expected'] },
  { title: 'null', make: modelText(() => 'null'), code: 'wrong-format', says: ['"rtc-model" was expected'] },
  {
    title: 'a byte order mark',
    make: modelText((text) => `\uFEFF${text}`),
    code: 'byte-order-mark',
    in: 'model.json',
    says: ['byte order mark'],
  },
  {
    title: 'bytes that are not UTF-8',
    make: modelText((text) => Buffer.concat([Buffer.from(text), Buffer.of(0xff, 0xfe)])),
    code: 'invalid-utf8',
    says: ['is not UTF-8'],
  },
  {
    title: 'a key twice',
    make: modelText((text) => text.replace('"version": 1', '"version": 1, "version": 1')),
    code: 'duplicate-key',
    in: 'model.json',
    says: ['"version" stands twice'],
  },
  {
    title: 'a key twice, once in escapes',
    make: modelText((text) => text.replace('"block": 2', '"block": 2, "bl\\u006fck": 3')),
    code: 'duplicate-key',
    says: ['"block" stands twice'],
  },
  ...['__proto__', 'constructor', 'prototype'].map(
    (key): Malformed => ({
      title: `the key ${key}`,
      make: modelText((text) => text.replace('"version": 1', `"version": 1, "${key}": {"loops": 2}`)),
      code: 'forbidden-key',
      in: 'model.json',
      says: [`"${key}" is not allowed`],
    }),
  ),
  {
    title: 'lists a hundred thousand deep',
    make: modelText((text) => text.replace('"version": 1', `"version": ${'['.repeat(1e5)}${']'.repeat(1e5)}`)),
    code: 'too-deep',
    in: 'model.json',
    says: ['more than 64 deep'],
  },
  {
    title: 'a model.json of 17 MB',
    make: modelText((text) => text + ' '.repeat(17 * 2 ** 20)),
    code: 'file-too-large',
    says: ['at most 16777216 were expected'],
  },
];
