import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { watchForStops } from '../../serve/stop-strings.ts';

/** Pushes pieces until one stops. */
function watch(stops: readonly string[], pieces: readonly string[]) {
  const watcher = watchForStops(stops);
  const out: string[] = [];
  for (const piece of pieces) {
    const { text, stopped } = watcher.push(piece);
    out.push(text);
    if (stopped) return { out, stopped };
  }
  return { out: [...out, watcher.end()], stopped: false };
}

describe('stop strings', () => {
  test.each<[string, readonly string[], readonly string[], readonly string[], boolean]>([
    ['nothing to stop at', [], ['ab', 'c'], ['ab', 'c', ''], false],
    ['one piece', ['\n\n'], ['one\n\ntwo'], ['one'], true],
    ['what may begin one is held back', ['END'], ['aE', 'N', 'x'], ['a', '', 'ENx', ''], false],
    ['and comes when no more text does', ['END'], ['aEN'], ['a', 'EN'], false],
    ['cut into characters', ['END'], ['a', 'E', 'N', 'D', 'b'], ['a', '', '', ''], true],
    ['the one that is complete first', ['abcd', 'bc'], ['xabcd'], ['xa'], true],
    ['of two that end together the longer', ['bc', 'abc'], ['xabc'], ['x'], true],
    ['a beginning inside a beginning', ['aab'], ['aa', 'ab'], ['', 'a'], true],
    ['at the very start', ['a'], ['abc'], [''], true],
  ])('%s', (_, stops, pieces, out, stopped) => {
    expect(watch(stops, pieces)).toEqual({ out, stopped });
  });

  test('where text ends does not depend on how it is cut; nothing is shown that is taken back', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 30 });
    const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(letters, fc.array(stop, { maxLength: 4 }), fc.array(fc.nat(30)), (text, stops, cuts) => {
        const places = [0, ...[...new Set(cuts.filter((cut) => cut < text.length))].sort((a, b) => a - b), text.length];
        const pieces = places.slice(1).map((end, i) => text.slice(places[i], end));
        const { out, stopped } = watch(stops, pieces);
        // By hand: the first place at which the text so far ends in a stop string.
        let expected = text;
        let found = false;
        for (let end = 1; end <= text.length && !found; end++) {
          const [longest] = stops.filter((one) => text.slice(0, end).endsWith(one)).sort((a, b) => b.length - a.length);
          if (longest === undefined) continue;
          found = true;
          expected = text.slice(0, end - longest.length);
        }
        expect({ text: out.join(''), stopped }).toEqual({ text: expected, stopped: found });
      }),
      { numRuns: 500 },
    );
  });
});
