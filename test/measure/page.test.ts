import { describe, expect, test } from 'vitest';
import { type BenchDocument, benchDocumentSchema } from '../../measure/bench-document.ts';
import { benchPage } from '../../measure/page/bench-page.ts';
import { depthColors } from '../../measure/page/depth-colors.ts';
import { html } from '../../measure/page/markup.ts';
import { pageScript } from '../../measure/page/page-script.ts';
import { duration, percent, quantity, ticks } from '../../measure/page/quantities.ts';
import { madeUpDocument } from './made-up-document.ts';

const short = { loops: 2, meanExit: 1.2, maxRows: [4], sequences: 8, newTokens: [6, 14], promptTokens: 0 } as const;
const long = {
  loops: 3,
  meanExit: 1.76,
  maxRows: [8, 16],
  sequences: 40,
  newTokens: [24, 48],
  promptTokens: 24,
} as const;
const document = madeUpDocument(long);
const page = benchPage(document);

/** Elements that are never closed. */
const empty = new Set(['meta', '!doctype']);

/** What is wrong with a page, as far as one can tell without a browser. */
function flaws(text: string): readonly string[] {
  const found: string[] = [];
  const bare = text.replaceAll(/<(script|style)\b[^>]*>.*?<\/\1>/gs, '');
  const open: string[] = [];
  for (const [tag, close, name, attributes, selfClosed] of bare.matchAll(/<(\/?)([!\w]+)([^<>]*?)(\/?)>/g)) {
    const lower = name!.toLowerCase();
    if (empty.has(lower) || selfClosed === '/') continue;
    if (close === '/') {
      const expected = open.pop();
      if (expected !== lower) found.push(`</${lower}> closes <${expected}>`);
    } else {
      open.push(lower);
    }
    if (/=(?!")/.test(attributes!.replaceAll(/"[^"]*"/g, '""'))) found.push(`an attribute without quotes: ${tag}`);
  }
  found.push(...open.map((name) => `<${name}> is not closed`));
  for (const [word] of bare.matchAll(/\b(NaN|undefined|null|Infinity|\[object)\b.{0,20}/g)) found.push(word);
  const ids = [...bare.matchAll(/\bid="([^"]*)"/g)].map(([, id]) => id!);
  found.push(...ids.filter((id, i) => ids.indexOf(id) < i).map((id) => `two elements are "${id}"`));
  for (const [, target] of bare.matchAll(/href="#([^"]*)"/g)) if (!ids.includes(target!)) found.push(`no #${target}`);
  return found;
}

test('a page is whole, needs nothing from elsewhere, and is the same every time', () => {
  expect(flaws(page)).toEqual([]);
  expect(page).not.toMatch(/https?:|\bsrc=|@import|url\(|<link|<img|fetch\(|import\(/);
  expect(benchPage(madeUpDocument(long))).toBe(page);
  expect(flaws('<p><b>x</p>')).not.toEqual([]);
  expect(flaws('<a x=1>NaN</a>')).toHaveLength(2);
});

test('pictures have a text for who cannot see them, and the script can be parsed', () => {
  const pictures = [...page.matchAll(/<svg\b([^>]*)>/g)].map(([, attributes]) => attributes!);
  const told = pictures.filter((attributes) => /role="img" aria-label="[^"]{10,}"/.test(attributes));
  // Swatches of legends say nothing, and the part of a picture that is cut off is told with the whole.
  const silent = pictures.filter(
    (attributes) => /aria-hidden="true"/.test(attributes) || /viewBox="62 /.test(attributes),
  );
  expect(told.length).toBeGreaterThan(10);
  expect(told.length + silent.length).toBe(pictures.length);
  expect(() => new Function(pageScript)).not.toThrow();
});

test('titles say what was found', () => {
  const texts = [...page.matchAll(/<h[123]>(.*?)<\/h[123]>/g)].map(([, text]) => text!);
  const [first] = document.runs;
  const rate = (kind: string) => first!.variants.find((each) => each.kind === kind)!.steady!.tokensPerSecond.median;
  const gain = (rate('depth-wise') / rate('full-depth')).toFixed(2);
  const overShrink = (rate('depth-wise') / rate('sequence-wise-shrink')).toFixed(2);
  expect(texts[0]).toMatch(new RegExp(`^Depth-wise batching makes ${gain} (to [\\d.]+ )?× the tokens of full depth`));
  expect(texts).toContain(
    `Depth-wise batching: ${gain} × full depth, ${overShrink} × sequence-wise batching that drops rows that left`,
  );
  expect(texts).toContainEqual(expect.stringMatching(/^Depth-wise, \d+ % of the rows work; when rows wait .*, \d+ %$/));
  expect(texts).toContainEqual(expect.stringMatching(/^\d+ % of the tokens leave after the first of 3 loops; 1\.\d\d/));
  expect(texts).toContainEqual(expect.stringMatching(/^\d+ % of the bound with heads is reached/));
  expect(texts).toContainEqual(expect.stringMatching(/^Threshold 0\.9 with last-exited saves 11 % of the loops; /));
  expect(texts).toContain('32 times the rows take 5.25 times the time');
});

test('rates are compared round by round where that was measured', () => {
  const changed = structuredClone(document) as BenchDocument;
  for (const run of changed.runs) {
    for (const { kind, steady } of run.variants) {
      const gain = kind === 'depth-wise' ? 1.44 : kind === 'sequence-wise-shrink' ? 1.2 : 1;
      Object.assign(steady!, { gain: { samples: [gain], median: gain, low: gain, high: gain } });
    }
  }
  expect(benchPage(changed)).toContain('<h1>Depth-wise batching makes 1.44 × the tokens of full depth');
  expect(benchPage(changed)).toContain('1.44 × full depth, 1.20 × sequence-wise batching');
});

describe('what a document has not is not shown', () => {
  const parts = {
    bounds: 'of the bound with heads',
    timeline: 'class="timeline"',
    breakdown: 'milliseconds a token',
    latency: 'to the last token',
    quality: 'Accuracy against threshold',
    profile: 'What a pass takes',
  };
  test('everything', () => {
    for (const part of Object.values(parts)) expect(page).toContain(part);
  });

  test('nothing but one variant', () => {
    const { quality, profile, ...rest } = madeUpDocument(short);
    const [{ bounds, othersCpu, sameTokens, ...run }] = rest.runs as [BenchDocument['runs'][number]];
    const [{ timeline, breakdown, latency, timeToFirstToken, steady, ...variant }] = run.variants as [
      (typeof run.variants)[number],
    ];
    const bare = benchDocumentSchema.parse({ ...rest, runs: [{ ...run, variants: [variant] }] });
    const small = benchPage(bare);
    expect(flaws(small)).toEqual([]);
    for (const part of Object.values(parts)) expect(small).not.toContain(part);
    expect(small).toContain('prompts included');
  });

  test('no run, only a profile or the quality', () => {
    const { quality, profile, ...rest } = document;
    for (const only of [{ profile }, { quality }, {}]) {
      expect(flaws(benchPage(benchDocumentSchema.parse({ ...rest, runs: [], ...only })))).toEqual([]);
    }
  });
});

test.each([
  ['one loop', { ...short, loops: 1, meanExit: 1 }],
  ['many loops', { ...short, loops: 24, meanExit: 9 }],
  ['one row', { ...short, maxRows: [1] }],
  ['many rows', { ...short, maxRows: [96], sequences: 200 }],
  ['rows that run on', { ...short, kvPolicy: 'complete' }],
] as const)('%s', (_, madeUp) => {
  expect(flaws(benchPage(madeUpDocument(madeUp)))).toEqual([]);
});

test('a loss that is a gain, numbers that are zero, a variant that did nothing', () => {
  const odd = structuredClone(madeUpDocument(short)) as BenchDocument;
  const run = odd.runs[0]! as {
    -readonly [K in keyof BenchDocument['runs'][number]]: BenchDocument['runs'][number][K];
  };
  run.bounds = { ...run.bounds!, reached: 0.9, losses: [{ what: 'other', gain: -0.2 }] };
  const idle = { samples: [0], median: 0, low: 0, high: 0 };
  run.variants = run.variants.map((variant) => ({
    ...variant,
    tokensPerSecond: idle,
    tokens: 0,
    steps: 0,
    exits: [],
    steady: { ...variant.steady!, tokensPerSecond: idle },
    timeline: { whole: true, steps: [] },
  }));
  expect(flaws(benchPage(benchDocumentSchema.parse(odd)))).toEqual([]);
});

test('names from files are shown, not obeyed', () => {
  const evil = '</title><script>alert("1")</script>&\u001b[31m\'';
  const named = structuredClone(document) as BenchDocument;
  Object.assign(named.package, { name: evil });
  Object.assign(named.environment, { cpu: evil });
  Object.assign(named.runs[0]!.workload, { exits: evil });
  for (const variant of named.runs[0]!.variants) Object.assign(variant, { label: evil });
  Object.assign(named.quality!, { text: evil });
  const shown = benchPage(named);
  expect(shown).not.toContain('<script>alert');
  expect(shown).not.toContain('\u001b');
  expect(shown.match(/<script/g)).toHaveLength(page.match(/<script/g)!.length);
  expect(shown).toContain('&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)');
  expect(flaws(shown)).toEqual([]);
  const [, data] = shown.match(/class="timeline-data">(.*?)<\/script>/s)!;
  expect(JSON.parse(data!).panels[0].label).toBe(evil);
  expect(html`<b>${['<', html`<i>${undefined}</i>`, false, 3]}</b>`.markup).toBe('<b>&lt;<i></i>3</b>');
});

test('numbers as people read them', () => {
  expect([1082.4, 83.12, 0.4123, 0, 1e6].map(quantity)).toEqual(['1,082', '83.1', '0.412', '0', '1,000,000']);
  expect([0.953, 0.0041, 0, 1.02].map(percent)).toEqual(['95 %', '0.4 %', '0 %', '102 %']);
  expect([0, 0.0754, 412.4, 3200].map(duration)).toEqual(['0', '75.4 µs', '412 ms', '3.20 s']);
  expect(ticks(0, 1250, 5)).toEqual([0, 250, 500, 750, 1000, 1250]);
  expect(ticks(1, 1.7, 3)).toEqual([1, 1.25, 1.5]);
  expect(ticks(2, 2, 3)).toEqual([2]);
});

test('depths go from light to dark', () => {
  const brightness = (color: string) =>
    [1, 3, 5].reduce((sum, at, i) => sum + Number.parseInt(color.slice(at, at + 2), 16) * [0.3, 0.59, 0.11][i]!, 0);
  for (const loops of [1, 2, 3, 9]) {
    const colors = depthColors(loops);
    expect(colors).toHaveLength(loops);
    for (const color of colors) expect(color).toMatch(/^#[0-9a-f]{6}$/);
    const shades = colors.map(brightness);
    expect(shades).toEqual(shades.toSorted((a, b) => b - a));
  }
});
