import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeTensor } from '../../../ir/interpret/tensor.ts';
import type { GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import type { CacheWrite, StepModel, StepRow } from '../../../runtime/depth-batched/step-model.ts';
import { modelFolder } from '../../package/simple-package.ts';
import { expectClose } from '../../support/expect-close.ts';
import { randomStream } from '../../support/random.ts';
import { drawSchedule, rowOrders } from './draw-schedule.ts';
import { type Outcome, runSchedule, type Scheduled, type ScheduleOptions } from './run-schedule.ts';
import { stepPackage } from './step-package.ts';

/** A row depends on its own sequence and on nothing else: not on who shares its step, their order, or the padding. */
describe.each(['gemma-relaxed', 'gpt-neox-relaxed', 'llama-middle-cycle', 'llama-relaxed'])('%s', (name) => {
  let folder: string;
  let model: StepModel;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rtc-bits-'));
    model = await stepPackage({ model: modelFolder(name), out: join(folder, 'package') });
  });
  afterAll(async () => {
    await model.close();
    rmSync(folder, { recursive: true });
  });

  test('a row of a step is the same to the bit in any company', async () => {
    const random = randomStream(`bits of ${name}`);
    const rows = await readyRows(model, random, [1, 33, 5, 16, 40, 17, 64, 8]);
    const alone: RowBits[] = [];
    for (const row of rows) alone.push((await bitsOf(model, [row]))[0]!);
    for (const [i, a] of alone.entries()) {
      for (const b of alone.slice(i + 1)) expect(a.logits).not.toEqual(b.logits);
    }
    for (let round = 0; round < 24; round++) {
      const size = 2 + Math.floor(random() * (rows.length - 1));
      const chosen = rows.map((_, i) => ({ i, at: random() })).toSorted((a, b) => a.at - b.at);
      const company = chosen.slice(0, size).map(({ i }) => i);
      // The same row may stand in a step twice.
      if (round % 4 === 0) company.push(company[0]!);
      const found = await bitsOf(
        model,
        company.map((i) => rows[i]!),
      );
      for (const [place, i] of company.entries()) {
        expect(found[place], `row ${i} at place ${place} of ${company}`).toEqual(alone[i]);
      }
    }
  });

  test('a row of several tokens is the same to the bit beside longer and shorter ones', async () => {
    const random = randomStream(`chunks of ${name}`);
    const vocabulary = model.shape.vocabulary;
    const tokens = (length: number) => Array.from({ length }, () => Math.floor(random() * vocabulary));
    const past = await readyRows(model, random, [3, 20, 35, 16]);
    const rows = past.map((row, i): StepRow => {
      const chunk = tokens([3, 16, 1, 30][i]!);
      const last = chunk.length - 1;
      return { ...row, depth: 0, hidden: undefined, tokens: chunk, leaving: true, heads: last === 0 ? [0] : [0, last] };
    });
    const alone: RowBits[] = [];
    for (const row of rows) alone.push((await bitsOf(model, [row]))[0]!);
    for (const company of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [2, 3],
      [0, 2],
      [1, 0],
    ]) {
      const found = await bitsOf(
        model,
        company.map((i) => rows[i]!),
      );
      for (const [place, i] of company.entries()) {
        // One token and several run through different kernels of ONNX Runtime.
        if (company.some((j) => rows[j]!.tokens.length > 1) === rows[i]!.tokens.length > 1) {
          expect(found[place], `row ${i} at place ${place} of ${company}`).toEqual(alone[i]);
        } else expectNear(found[place]!.logits, alone[i]!.logits, `row ${i} at place ${place} of ${company}`);
      }
    }
  });

  const policies = ['last-exited', 'propagate', 'complete', 'shared'] as const;
  test.each(
    policies,
  )('%s: in any schedule a sequence has the tokens, exits and logits that it has alone', async (kvPolicy) => {
    const random = randomStream(`company of ${name}, ${kvPolicy}`);
    const { loops, vocabulary, exits } = model.shape;
    const requests = Array.from({ length: 5 }, (_, i): GenerationRequest => {
      // The first three grow into pages that nobody counted with when they were let in.
      const long = i < 3;
      const length = long ? 12 + i : 1 + Math.floor(random() * 18);
      const prompt = Array.from({ length }, () => Math.floor(random() * vocabulary));
      const trace = Array.from({ length: 23 }, () => 1 + Math.floor(random() * loops));
      const byTrace = exits.length === 0 || i % 2 === 0;
      return {
        prompt,
        maxNewTokens: long ? 23 : 3 + Math.floor(random() * 7),
        ignoreEos: true,
        // Confidences of models with random weights lie around this.
        exit: byTrace ? { kind: 'trace', exits: trace } : { kind: 'threshold', threshold: 0.02 },
        ...(i % 3 === 2 ? { sampling: { kind: 'sample', temperature: 0.8, seed: i } as const } : {}),
      };
    });
    const alone = async (options: Partial<ScheduleOptions>) => {
      const outcomes: Outcome[] = [];
      for (const request of requests) {
        const run = await runSchedule(model, { maxRows: 1, kvPolicy, logits: true, ...options }, [
          { request, joins: 0 },
        ]);
        outcomes.push(...run.outcomes);
      }
      return outcomes;
    };
    const one = await alone({ prefillChunk: 1 });
    const left = new Set(one.flatMap((outcome) => outcome.exits));
    expect(left.size, 'loops behind which tokens left').toBeGreaterThan(1);
    let preemptions = 0;
    for (const [i, rowOrder] of [...rowOrders, ...rowOrders].entries()) {
      const tight = i < 3;
      const some = tight ? requests.slice(0, 3) : requests;
      // Prompts in one piece token by token are rows of one token, and so is everything else.
      const fixed = { kvPolicy, rowOrder, prefillChunk: 1, logits: true };
      // More rows than a step takes: some of a sequence's have to wait for each other.
      const narrow = tight ? {} : { batching: 'depth-wise' as const, maxRows: 2, maxSequences: 5, pageCount: 100 };
      const drawn = drawSchedule(random, model.shape, some, { ...fixed, ...narrow }, { tight });
      const run = await runSchedule(model, drawn.options, drawn.requests);
      expect(run.outcomes, `schedule ${i}: ${JSON.stringify(drawn)}`).toEqual(one.slice(0, some.length));
      preemptions += run.preemptions;
    }
    expect(preemptions, 'sequences that had to give their pages back').toBeGreaterThan(0);
    if (kvPolicy === 'shared') return;
    for (const prefillChunk of [2, 16]) {
      const found = await runSchedule(model, { maxRows: 4, kvPolicy, logits: true, prefillChunk }, joining(requests));
      for (const [i, { tokens, exits: loopsLeft, logits }] of found.outcomes.entries()) {
        const what = `prompt ${i} in pieces of ${prefillChunk}`;
        expect({ tokens, exits: loopsLeft }, what).toEqual({ tokens: one[i]!.tokens, exits: one[i]!.exits });
        expectNear(joined(logits), joined(one[i]!.logits), what);
      }
    }
  });
});

interface RowBits {
  readonly hidden: Float32Array;
  readonly logits: Float32Array;
  readonly confidence: readonly number[];
  readonly likeliest: readonly number[];
}

async function bitsOf(model: StepModel, rows: readonly StepRow[]): Promise<readonly RowBits[]> {
  const result = await model.run(rows, { logits: true });
  let head = 0;
  return rows.map((row, i) => {
    const heads = row.heads.map(() => head++);
    return {
      hidden: Float32Array.from(result.hidden(i)),
      logits: Float32Array.from(heads.flatMap((h) => [...result.logits(h)])),
      confidence: heads.map((h) => result.confidence[h]!),
      likeliest: heads.map((h) => result.likeliest[h]!),
    };
  });
}

/** Sequences of these lengths, written to pages of their own, and a row for the next token of each at some depth. */
async function readyRows(
  model: StepModel,
  random: () => number,
  lengths: readonly number[],
): Promise<readonly StepRow[]> {
  const { loops, pageSize, prelude, coda, vocabulary } = model.shape;
  let [page, boundaryPage] = [1, 1];
  const rows: StepRow[] = [];
  for (const [i, length] of lengths.entries()) {
    const count = Math.ceil((length + 32) / pageSize);
    const tokens = Array.from({ length: length + 1 }, () => Math.floor(random() * vocabulary));
    const boundaryPages = prelude + coda > 0 ? Array.from({ length: count }, () => boundaryPage++) : [];
    const pagesOf = Array.from({ length: loops }, () => Array.from({ length: count }, () => page++));
    const depth = i % loops;
    const prompt = { position: 0, tokens: tokens.slice(0, length), boundaryPages, heads: [] };
    const next = { position: length, tokens: tokens.slice(length), boundaryPages };
    let hidden: StepRow['hidden'];
    let state: StepRow['hidden'];
    for (let d = 0; d < loops; d++) {
      const pages = pagesOf[d]!;
      const leaving = d === loops - 1;
      const result = await model.run([{ ...prompt, depth: d, pages, hidden, leaving }], { logits: false });
      const all = { row: 0, firstToken: 0, tokens: length, position: 0 } as const;
      const writes: CacheWrite[] = [{ ...all, part: 'block', pages }];
      if (prelude > 0 && d === 0) writes.push({ ...all, part: 'prelude', pages: boundaryPages });
      if (coda > 0 && leaving) writes.push({ ...all, part: 'coda', pages: boundaryPages });
      hidden = result.hidden(0).slice();
      model.write(writes);
    }
    for (let d = 0; d < depth; d++) {
      const row = { ...next, depth: d, pages: pagesOf[d]!, hidden: state, leaving: false, heads: [] };
      const result = await model.run([row], { logits: false });
      state = result.hidden(0).slice();
      if (prelude > 0 && d === 0) {
        model.write([{ part: 'prelude', row: 0, firstToken: 0, tokens: 1, pages: boundaryPages, position: length }]);
      }
    }
    rows.push({ ...next, depth, pages: pagesOf[depth]!, hidden: state, leaving: true, heads: [0] });
  }
  return rows;
}

function joining(requests: readonly GenerationRequest[]): readonly Scheduled[] {
  return requests.map((request, i) => ({ request, joins: 3 * i }));
}

function joined(rows: readonly Float32Array[]): Float32Array {
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

function expectNear(found: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  const flat = (numbers: ArrayLike<number>) => makeTensor('f32', [numbers.length], Float64Array.from(numbers));
  expectClose(flat(found), flat(expected), 1e-5, what);
}
