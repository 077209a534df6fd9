import { describe, expect, test } from 'vitest';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { formatAnnotations, formatDiagnostics } from '../../files/format-diagnostics.ts';

const unknownKey: Diagnostic = {
  severity: 'error',
  code: 'unknown-key',
  location: { file: 'model.json', path: 'recursion.loop', line: 9, column: 5 },
  message: 'There is no key "loop" in "recursion". Did you mean "loops"?',
};
const plain: Diagnostic = {
  severity: 'warning',
  code: 'some-code',
  message: 'First line.\nSecond line.',
  hint: 'Do this.',
};

describe('for a person', () => {
  test('place, sentence and next step', () => {
    expect(formatDiagnostics([unknownKey, plain])).toBe(
      [
        'error unknown-key  model.json:9:5: recursion.loop',
        '  There is no key "loop" in "recursion". Did you mean "loops"?',
        'warning some-code',
        '  First line.',
        '  Second line.',
        '  hint: Do this.',
        '',
      ].join('\n'),
    );
  });

  test('nothing to say is nothing', () => {
    expect(formatDiagnostics([])).toBe('');
  });

  test('colours only when asked for', () => {
    expect(formatDiagnostics([unknownKey], { color: true })).toContain('\u001b[31merror\u001b[0m \u001b[1munknown-key');
    expect(formatDiagnostics([unknownKey, plain])).not.toContain('\u001b');
  });

  test('a name with escapes or hidden characters in it cannot write to the terminal', () => {
    const message = 'Nothing uses the tensor "\u001b[31mred\u0007\u202e".';
    const location = { file: 'a\u001b]0;title\u0007.json' };
    const text = formatDiagnostics([{ severity: 'error', code: 'c', location, message }], { color: true });
    expect(text).toContain('"\\u{1b}[31mred\\u{7}\\u{202e}"');
    expect(text).toContain('a\\u{1b}]0;title\\u{7}.json');
  });
});

describe('for GitHub', () => {
  test('a command with the place in it', () => {
    expect(formatAnnotations([unknownKey])).toBe(
      '::error file=model.json,line=9,col=5,title=unknown-key%3A recursion.loop::There is no key "loop" in "recursion". Did you mean "loops"?\n',
    );
  });

  test('what would end a command or a property is escaped', () => {
    const location = { file: 'a,b:c%.json' };
    const text = formatAnnotations([{ ...plain, location, message: '100 %\r\n::error::no, really' }]);
    expect(text).toBe(
      '::warning file=a%2Cb%3Ac%25.json,title=some-code::100 %25%0D%0A::error::no, really%0ADo this.\n',
    );
  });

  test('notes are notices, errors come first, and after ten the rest is counted', () => {
    const notes = Array.from({ length: 11 }, (): Diagnostic => ({ ...plain, severity: 'note' }));
    const lines = formatAnnotations([...notes, unknownKey])
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(11);
    expect(lines[0]).toMatch(/^::error /);
    expect(lines[9]).toMatch(/^::notice title=some-code::/);
    expect(lines[10]).toBe('::notice title=rtc::There are 2 more problems; the log has them all.');
  });
});
