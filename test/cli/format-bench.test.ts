import { expect, test } from 'vitest';
import { formatBench } from '../../compiler/bench/format-bench.ts';
import type { BenchDocument } from '../../measure/bench-document.ts';
import { benchPage } from '../../measure/page/bench-page.ts';
import { madeUpDocument } from '../measure/made-up-document.ts';

const document = madeUpDocument({
  loops: 2,
  meanExit: 1.2,
  maxRows: [4],
  sequences: 8,
  newTokens: [6, 14],
  promptTokens: 0,
});

function changed(change: (run: BenchDocument['runs'][number]) => void): BenchDocument {
  const copy = structuredClone(document) as BenchDocument;
  copy.runs.forEach(change);
  return copy;
}

test('why numbers are doubted stands in front of them, on the page, too', () => {
  expect(formatBench(document)).not.toContain('Beware');
  const doubted = changed((run) => {
    run.doubts = ['Others were <busy>.'];
  });
  const lines = formatBench(doubted).split('\n');
  const at = lines.indexOf('  Beware: Others were <busy>.');
  expect(lines[at - 1]).toMatch(/^\d+ rows?, /);
  expect(lines.findIndex((line) => line.includes('steady state'))).toBeGreaterThan(at);
  const page = benchPage(doubted);
  expect(page.indexOf('Others were &lt;busy&gt;.')).toBeGreaterThan(0);
  expect(page.indexOf('Others were &lt;busy&gt;.')).toBeLessThan(page.indexOf('tokens per second'));
});

test('a share of the bound is printed with its ends, where they differ from it', () => {
  const shares = (low: number, high: number) =>
    formatBench(
      changed((run) => {
        run.bounds = { ...run.bounds!, shareOfGainWithHeads: 0.95, shareOfGainWithHeadsEnds: { low, high } };
      }),
    );
  expect(shares(0.931, 0.988)).toContain('95.0 % (93.1 % to 98.8 %) of that with heads');
  expect(shares(0.9499, 0.9501)).toContain(': 95.0 % of that with heads');
});
