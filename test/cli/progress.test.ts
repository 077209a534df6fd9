import { expect, test } from 'vitest';
import { progressLine } from '../../compiler/cli/progress.ts';
import { styleFor } from '../../compiler/cli/style.ts';

const plain = styleFor({}, {});

function recorded(isTTY: boolean) {
  let text = '';
  let now = 0;
  const stream = {
    isTTY,
    write: (part: string) => {
      text += part;
    },
  };
  return {
    line: progressLine(stream, plain, () => now),
    wait: (milliseconds: number) => {
      now += milliseconds;
    },
    text: () => text,
  };
}

test('away from a terminal every step is one plain line, and bytes are none', () => {
  const { line, text } = recorded(false);
  line.show({ step: 'read' });
  for (const done of [0, 1e6, 2e6]) line.show({ step: 'write weights', done, total: 2e6, unit: 'bytes' });
  line.clear();
  expect(text()).toBe('… read\n… write weights\n');
});

test('on a terminal one line is drawn over, not more often than it can be read, and taken away at the end', () => {
  const { line, wait, text } = recorded(true);
  const drawn = (step: string) => `\r\u001b[K… ${step}`;
  line.show({ step: 'read' });
  line.show({ step: 'write', done: 0, total: 2e6, unit: 'bytes' });
  wait(10);
  line.show({ step: 'write', done: 5e5, total: 2e6, unit: 'bytes' });
  wait(100);
  line.show({ step: 'write', done: 1.5e6, total: 2e6, unit: 'bytes' });
  line.clear();
  line.clear();
  expect(text()).toBe(`${drawn('read')}${drawn('write 0 B of 2.00 MB')}${drawn('write 1.50 MB of 2.00 MB')}\r\u001b[K`);
});

test.each([
  [{ isTTY: true }, {}, true],
  [{ isTTY: true }, { TERM: 'dumb' }, false],
  [{ isTTY: true }, { NO_COLOR: '1' }, false],
  [{ isTTY: true }, { NO_COLOR: '' }, true],
  [{ isTTY: false }, {}, false],
  [{ isTTY: false }, { FORCE_COLOR: '1' }, true],
  [{ isTTY: true }, { FORCE_COLOR: '0' }, false],
])('colours on %j with %j: %s', (stream, env, colored) => {
  const style = styleFor(stream, env);
  expect(style.color).toBe(colored);
  expect(style.red('x')).toBe(colored ? '\u001b[31mx\u001b[39m' : 'x');
});
