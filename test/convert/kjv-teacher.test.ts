import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Decomposer, openDecomposer } from '../../convert/decompose/decomposer.ts';
import type { Decomposition } from '../../convert/decompose/decomposition.ts';
import type { InitialBlock } from '../../convert/initial-block.ts';
import type { Matrix } from '../../convert/matrix.ts';
import { success } from '../../files/diagnostics.ts';
import { loadTokenizer } from '../../runtime/tokenizer.ts';
import { converted, exactParts } from './convert-parts.ts';
import { logitsOf, meanNll } from './score-windows.ts';

/** What the paper's rules give for kjv-teacher in numpy and transformers, float64 throughout. */
interface Expected {
  readonly loops: number;
  readonly init: InitialBlock;
  readonly rank: number;
  readonly nll: number;
  readonly relative_loss: number;
  readonly block_parameters: number;
}

const root = join(import.meta.dirname, '..', '..');
const model = join(root, 'test', 'models', 'kjv-teacher');
const rows = JSON.parse(readFileSync(join(import.meta.dirname, 'kjv-convert.json'), 'utf8')) as readonly Expected[];

let scratch: string;
let windows: readonly (readonly number[])[];
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-kjv-'));
  const tokenizer = await loadTokenizer(model);
  if (!tokenizer.ok || tokenizer.value === undefined) throw new Error('kjv-teacher has no tokenizer');
  const tokens = Array.from(tokenizer.value.encode(readFileSync(join(root, 'examples', 'kjv-heldout.txt'), 'utf8')));
  windows = Array.from({ length: 64 }, (_, i) => tokens.slice(i * 129, (i + 1) * 129));
  const opened = await openDecomposer();
  if (!opened.ok) throw new Error(opened.diagnostics[0]?.message);
  decomposer = opened.value;
});
afterAll(async () => {
  rmSync(scratch, { recursive: true });
  await decomposer.close();
});

let decomposer: Decomposer;
/** Ranks of one kind are rows that follow each other, and small matrices are taken apart as a whole: once is enough. */
let known: { readonly kind: string; readonly found: Map<string, Decomposition> } | undefined;

function remembering(kind: string) {
  if (known?.kind !== kind) known = { kind, found: new Map() };
  const { found } = known;
  return async () =>
    success({
      ...decomposer,
      close: async () => {},
      decompose: async (matrix: Matrix, options: { readonly rank: number }) => {
        const key = `${matrix.rows} ${options.rank} ${createHash('sha1').update(matrix.data).digest('hex')}`;
        const result = found.get(key) ?? (await decomposer.decompose(matrix, options));
        found.set(key, result);
        return result;
      },
    });
}

/** Rows whose likelihood is computed too, which takes seconds each; RTC_KJV_ALL=1 for all of them. */
const scored = new Set(['2 average 64', '3 lower 4']);

test('there are 24 rows', () => expect(rows).toHaveLength(24));

describe.each(rows.map((row) => [`${row.loops} ${row.init} ${row.rank}`, row] as const))('%s', (name, row) => {
  test('loses what numpy loses, in as many parameters', async () => {
    const out = join(scratch, name.replaceAll(' ', '-'));
    const { loops, init, rank } = row;
    const parts = exactParts({ openDecomposer: remembering(`${loops} ${init}`) });
    const { relativeLoss, parameters } = await converted({ model, out, loops, init, lora: { rank } }, parts);
    expect(parameters.convertedLayers).toBe(row.block_parameters);
    expect(Math.abs(relativeLoss / row.relative_loss - 1)).toBeLessThan(0.001);
    if (!scored.has(name) && process.env.RTC_KJV_ALL !== '1') return;
    const nll = meanNll(windows, await logitsOf(out, windows, scratch));
    if (process.env.RTC_KJV_ALL === '1') console.log(name, relativeLoss / row.relative_loss - 1, nll - row.nll);
    expect(Math.abs(nll - row.nll)).toBeLessThan(0.002);
  });
});
