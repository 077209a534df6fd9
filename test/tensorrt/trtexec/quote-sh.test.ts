import { execFileSync } from 'node:child_process';
import { sample, string } from 'fast-check';
import { expect, test } from 'vitest';
import { commandLine, quoteSh } from '../../../targets/tensorrt/trtexec/quote-sh.ts';

test('sh reads back every word that is quoted', () => {
  const word = string({ unit: 'binary' }).map((text) => text.replace(/[\0\ud800-\udfff]/gu, ''));
  const ascii = string({ unit: 'grapheme-ascii', minLength: 1 });
  const words = [...sample(word, 100), ...sample(ascii, 100), "'", "''", '-n', '~', '$HOME', 'a\nb', '\\', ''];
  const script = `printf '%s\\n--\\n' ${words.map(quoteSh).join(' ')}`;
  expect(execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8' })).toBe(words.map((w) => `${w}\n--\n`).join(''));
});

test('what needs no quotes has none; the folder comes first', () => {
  expect(commandLine("it's here", '/opt/trtexec', ['--onnx=step.onnx', '--minShapes=a:1x2,b:3', '--x=a b', ''])).toBe(
    "cd 'it'\\''s here' && /opt/trtexec --onnx=step.onnx --minShapes=a:1x2,b:3 '--x=a b' ''",
  );
});
