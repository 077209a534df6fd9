import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { ConvertOptions } from '../../../compiler/convert/convert-options.ts';
import { describeResult } from '../../../compiler/convert/describe-result.ts';
import type { ConversionEvaluation } from '../../../compiler/convert/evaluate/evaluate-conversion.ts';
import { planModel } from '../../../compiler/convert/plan-conversion.ts';
import { type ConvertDocument, convertDocument } from '../../../compiler/convert/report/convert-document.ts';
import { withoutWeights } from '../../../compiler/convert/report/count-conversion.ts';
import { describeSharing, originsText } from '../../../compiler/convert/report/describe-sharing.ts';
import { formatConversion } from '../../../compiler/convert/report/format-conversion.ts';
import { convertPage } from '../../../compiler/convert/report/page/convert-page.ts';
import { parameterText } from '../../../compiler/convert/report/parameter-text.ts';
import { specOf } from '../../support/read-spec.ts';
import { makeTinyModel, type TinyModelOptions } from '../../support/tiny-model.ts';
import { converted } from '../convert-parts.ts';

const scratch = mkdtempSync(join(tmpdir(), 'rtc-report-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let made = 0;
async function report(tiny: Partial<TinyModelOptions>, options: Partial<ConvertOptions>) {
  const model = join(scratch, `model-${made}`);
  makeTinyModel(model, { block: 4, loops: 1, modelJson: false, ...tiny });
  const result = await converted({ model, out: join(scratch, `out-${made++}`), ...options });
  return { result, document: convertDocument(result, { rtc: '1.2.3', asked: options }) };
}

const squares = (numbers: readonly number[]) => numbers.reduce((sum, x) => sum + x * x, 0);

describe('the document', () => {
  test('says of every matrix what its singular values say', async () => {
    const { result, document } = await report({}, { loops: 2, lora: { rank: 5 } });
    expect(document.matrices).toHaveLength(4 * 7);
    for (const [i, matrix] of document.matrices.entries()) {
      const { layer, stored, depth, rank, norm, shared, lost, kept, singular } = matrix;
      expect([stored, depth]).toEqual([layer % 2, Math.floor(layer / 2)]);
      expect(rank).toBe(5);
      expect(norm ** 2).toBeCloseTo(result.matrices[i]!.original, 8);
      expect(squares(singular.slice(0, 5)) / (norm * shared) ** 2).toBeCloseTo(kept!, 4);
      expect((norm * lost) ** 2).toBeCloseTo((norm * shared) ** 2 * (1 - kept!), 8);
    }
    const [queries] = document.modules;
    const own = document.matrices.filter(({ module }) => module === queries!.module);
    const norms = squares(own.map(({ norm }) => norm));
    expect(queries!.lost).toBeCloseTo(Math.sqrt(squares(own.map(({ norm, lost }) => norm * lost)) / norms), 10);
    expect(document.modules.reduce((sum, { lora }) => sum + lora, 0)).toBe(document.parameters.lora);
    expect(document.lora).toEqual({ asked: { rank: 5 }, init: 'svd', calibration: null });
    expect(document.sizes.find(({ own: is }) => is)).toEqual({
      rank: 5,
      convertedLayers: document.parameters.convertedLayers,
      own: true,
    });
    // JSON keeps all of it.
    expect(JSON.parse(JSON.stringify(document))).toEqual(document);
  });

  test('has no rank of its own where ranks differ, and nothing brought back where nothing was lost', async () => {
    const { document } = await report({}, { loops: 2, init: 'lower', lora: { rank: { '*': 3, mlp: 2 } } });
    expect(document.sizes.some(({ own }) => own)).toBe(false);
    expect(document.modules.map(({ ranks }) => ranks.most)).toEqual([3, 3, 3, 3, 2, 2, 2]);
    // The block is the first layers themselves.
    expect(
      document.matrices.filter(({ layer }) => layer < 2).every(({ kept, shared }) => kept === null && shared === 0),
    ).toBe(true);
    expect(document.matrices.filter(({ layer }) => layer >= 2).every(({ kept }) => kept! > 0)).toBe(true);
  });

  test('without factors is about sharing alone', async () => {
    const { document } = await report({}, { sharing: [0, 1, 0, 0], norms: 'per-depth' });
    expect(document.lora).toBe(null);
    expect(document.sharing).toMatchObject({ order: 'listed', loops: null, layers: [0, 1, 0, 0], norms: 'per-depth' });
    expect(describeSharing(document)).toBe(
      '4 layers become 2 layers that run in the order 0, 1, 0, 0, norms of their own at each depth',
    );
    expect(originsText(document)).toBe('stored layers start as the means of layers (0, 2, 3), 1');
  });
});

test('words for what is shared', async () => {
  const { document } = await report({ block: 6 }, { loops: 2, sharing: 'middle-sequence', init: 'stepwise' });
  expect(describeSharing(document)).toBe(
    '6 layers become a block of 2 layers, each of which runs 2 times in a row, 1 before it and 1 behind it of their own',
  );
  expect(originsText(document)).toBe('stored layers start as copies of layers 0, 1, 4, 5');
  const counts = [981, 81_408, 999_999, 1e6, 50_462_720, 313_786_368, 999_000_000, 1_981_884_416];
  expect(counts.map(parameterText)).toEqual([
    '981',
    '81,408',
    '999,999',
    '1.00 million',
    '50.46 million',
    '313.8 million',
    '999.0 million',
    '1.98 billion',
  ]);
});

/** A result of a shape of the paper's, whose weights nobody has: numbers of losses are made up. */
function ofPaper(name: string, loops: number, rank: number): ConvertDocument {
  const config = JSON.parse(
    readFileSync(join(import.meta.dirname, '..', 'parameter-counts', `${name}.json`), 'utf8'),
  ) as object;
  const asked = { loops, lora: { rank } };
  const planned = planModel(withoutWeights(specOf(config)), { ...asked, model: name, out: name });
  if (!planned.ok) expect.fail(JSON.stringify(planned.diagnostics));
  const decomposed = planned.value.ranks.ranked.map(({ matrix, rank: own }) => {
    const singular = Float64Array.from({ length: own }, (_, i) => 1 / (i + 1));
    return { matrix, rank: own, key: '', dtype: 'bf16' as const, singular, original: 8, residual: 4, lost: 2 };
  });
  const result = describeResult(planned.value, decomposed, { out: name, files: [], resumed: 0, seconds: 1 });
  return convertDocument(result, { rtc: '1.2.3', asked });
}

describe("the paper's numbers stand beside ours", () => {
  test.each([
    ['tinyllama-1.1b', 2, 64, 'TinyLlama 1.1B, 2 loops, rank 64 in the paper: 0.53 billion'],
    ['tinyllama-1.1b', 2, 256, 'TinyLlama 1.1B, 2 loops, rank 256 in the paper: 0.68 billion'],
    ['gemma-2b', 3, 512, 'Gemma 2B, 3 loops, rank 512 in the paper: 1.27 billion'],
    ['pythia-1b', 2, 128, 'Pythia 1B, 2 loops, rank 128 in the paper: 0.48 billion'],
  ] as const)('%s, %d loops, rank %d', (name, loops, rank, line) => {
    const document = ofPaper(name, loops, rank);
    expect(formatConversion(document)).toContain(line);
    for (const size of document.sizes) expect([size.rank, size.asPrinted]).toEqual([size.rank, size.paper]);
    expect(document.sizes.map((size) => size.rank)).toEqual([0, 64, 128, 256, 512]);
    expect(document.sizes.find(({ own }) => own)).toMatchObject({
      rank,
      convertedLayers: document.parameters.convertedLayers,
    });
    expect(convertPage(document)).toContain(`in the paper ${document.sizes[1]!.paper} billion`);
  });

  test('not where loops are others than its own', () => {
    const document = ofPaper('gemma-2b', 6, 64);
    expect(document.paper).toBe(null);
    expect(formatConversion(document)).not.toContain('in the paper');
  });
});

const evaluation: ConversionEvaluation = {
  text: 'held<out>.txt',
  windows: 3,
  window: 9,
  original: { nll: 2, perplexity: Math.exp(2), tokens: 24 },
  converted: { nll: 2.25, perplexity: Math.exp(2.25), tokens: 24 },
  ranks: [{ rank: 0, convertedLayers: 1000, nll: 4, perplexity: Math.exp(4), tokens: 24 }],
};

test('the table, whole', async () => {
  const { result } = await report({}, { loops: 2, lora: { rank: 6 } });
  const document = convertDocument(result, { rtc: '1.2.3', asked: { lora: { rank: 6 } }, evaluation });
  expect(formatConversion({ ...document, model: { ...document.model, name: 'tiny' } })).toMatchInlineSnapshot(`
    "tiny
      4 layers become a block of 2 layers that runs 2 times
      stored layers start as the means of layers (0, 2), (1, 3)

      module               size  rank  parameters  lost by sharing  lost still  brought back
      self_attn.q_proj  32 × 32     6       1,536             72 %        51 %          50 %
      self_attn.k_proj  16 × 32     6       1,152             71 %        40 %          68 %
      self_attn.v_proj  16 × 32     6       1,152             72 %        42 %          67 %
      self_attn.o_proj  32 × 32     6       1,536             71 %        48 %          54 %
      mlp.gate_proj     48 × 32     6       1,920             70 %        53 %          44 %
      mlp.up_proj       48 × 32     6       1,920             70 %        52 %          45 %
      mlp.down_proj     32 × 48     6       1,920             70 %        52 %          45 %
      all                                  11,136             71 %        50 %          50 %

      parameters of layers, as the paper counts (embeddings, final norm and head have 4,128 more)
      original       30,976
      stored layers  15,488  50 %
      factors        11,136  36 %
      converted      26,624  86 %

      held<out>.txt, 3 windows of 9 tokens
                  parameters  nats a token  perplexity
      original        30,976        2.0000        7.39
      no factors       1,000        4.0000        54.6
      converted       26,624        2.2500        9.49
    "
  `);
});

describe('the page', () => {
  test('is one file without a script, in which names are only names', async () => {
    const { result } = await report({}, { loops: 2, lora: { rank: { depth_0: 2, depth_1: 6 } } });
    const asked = { lora: { rank: { '<b>': 2 } } };
    const document = convertDocument(result, { rtc: '1.2.3', asked, evaluation });
    const page = convertPage({ ...document, model: { ...document.model, name: '<script>alert(1)</script>' } });
    expect(page).toBe(convertPage({ ...document, model: { ...document.model, name: '<script>alert(1)</script>' } }));
    expect(page).not.toMatch(/<script|<b>|<out>|https?:|<link|<img|url\(|NaN|undefined|Infinity/);
    expect(page).toContain('held&lt;out&gt;.txt');
    // Every open tag is closed, as browsers are lenient.
    const tags = page.replace(/<style>.*?<\/style>/s, '').matchAll(/<(\/?)([!\w]+)[^<>]*?(\/?)>/g);
    const open: string[] = [];
    for (const [, closing, tag, self] of tags) {
      if (self === '/' || ['meta', '!doctype'].includes(tag!)) continue;
      if (closing === '') open.push(tag!);
      else expect(open.pop()).toBe(tag);
    }
    expect(open).toEqual([]);
  });

  test('draws a spectrum and two cells for each matrix', async () => {
    const { document } = await report({ block: 6 }, { loops: 2, sharing: 'middle-cycle', lora: { rank: 3 } });
    const page = convertPage(document);
    const count = (text: string | RegExp) => page.split(text).length - 1;
    expect(count('class="spectrum"')).toBe(4 * 7);
    expect(count('class="kept"')).toBe(4 * 7);
    expect(count('class="panel"')).toBe(6 * 7);
    expect(count('class="cell ')).toBe(2 * 6 * 7);
    // First and last layer stay what they are.
    expect(count('class="cell none"')).toBe(2 * 2 * 7);
    expect(count('>as it was<')).toBe(2 * 7);
    expect(page).toContain('What another rank would lose');
  });

  test('leaves out what there is not', async () => {
    const plain = convertPage((await report({}, { loops: 2 })).document);
    for (const absent of ['Spectra', 'What another rank', 'Rank of its factors', 'What it knows of a text']) {
      expect(plain).not.toContain(absent);
    }
    const zero = convertPage((await report({}, { loops: 2, lora: { rank: 2 }, loraInit: 'zero' })).document);
    expect(zero).not.toContain('Spectra');
    expect(zero).toContain('changing nothing yet');
    expect(zero).not.toMatch(/NaN|undefined/);
  });
});
