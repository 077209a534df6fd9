import { expect, test } from 'vitest';
import { closedForm } from '../../simulate/closed-form.ts';
import { meanExit } from '../../simulate/exit-shares.ts';
import { keyValueShare, modelShapes } from '../../simulate/paper/model-shapes.ts';
import { paperScenario, reproducePaper } from '../../simulate/paper/reproduce-paper.ts';
import { tableK1 } from '../../simulate/paper/table-k1.ts';
import { depthWiseRates } from '../../simulate/paper/table-k2.ts';
import { simulateBatching } from '../../simulate/simulate-batching.ts';

/** Mean exits on SlimPajama as they were worked out by hand from the printed tables: model, loops, rank, coefficient. */
const byHand: readonly (readonly [string, number, number, number, number])[] = [
  ['Gemma', 2, 0, 0.1, 1.2],
  ['Gemma', 2, 64, 0.1, 1.31],
  ['Gemma', 2, 128, 0.1, 1.31],
  ['Gemma', 2, 256, 0.1, 1.31],
  ['Gemma', 2, 512, 0.1, 1.31],
  ['Gemma', 2, 64, 0.3, 1.26],
  ['Gemma', 2, 128, 0.3, 1.26],
  ['Gemma', 2, 256, 0.3, 1.27],
  ['Gemma', 2, 512, 0.3, 1.27],
  ['Gemma', 3, 0, 0.1, 1.76],
  ['Gemma', 3, 128, 0.1, 1.98],
  ['Gemma', 3, 256, 0.1, 1.94],
  ['Gemma', 3, 512, 0.1, 1.93],
  ['TinyLlama', 2, 0, 0.1, 1.19],
  ['TinyLlama', 2, 64, 0.1, 1.37],
  ['TinyLlama', 2, 128, 0.1, 1.37],
  ['TinyLlama', 2, 256, 0.1, 1.37],
  ['TinyLlama', 2, 512, 0.1, 1.36],
  ['Pythia', 2, 0, 0.1, 1.23],
  ['Pythia', 2, 64, 0.1, 1.33],
  ['Pythia', 2, 128, 0.1, 1.35],
  ['Pythia', 2, 256, 0.1, 1.33],
  ['Pythia', 2, 512, 0.1, 1.36],
];

const { sequenceWise, depthWise } = reproducePaper();

test('sequence-wise rates of Table K.2 follow from the times of Table K.1, within 0.1 %', () => {
  expect(sequenceWise.map(({ model, printed }) => [model, printed])).toEqual([
    ['Gemma', 1622],
    ['TinyLlama', 1227],
    ['Pythia', 829],
  ]);
  for (const { tokensPerSecond, printed } of sequenceWise) {
    expect(Math.abs(tokensPerSecond - printed) / printed).toBeLessThan(0.001);
  }
});

test('depth-wise rates have the mean exits that were worked out by hand, within 0.01', () => {
  for (const [model, loops, rank, coefficient, mean] of byHand) {
    const row = depthWise.find(
      (r) => r.model === model && r.loops === loops && r.rank === rank && r.coefficient === coefficient,
    );
    expect(row?.meanExit, `${model} ${loops} ${rank} ${coefficient}`).toBeDefined();
    expect(Math.abs(row!.meanExit! - mean), `${model} ${loops} ${rank} ${coefficient}`).toBeLessThanOrEqual(0.01);
  }
});

test('every mean exit lies between 1 and the number of loops; only the misprinted time is left out, and listed', () => {
  expect(depthWise).toHaveLength(36);
  for (const { meanExit: mean, loops, misprint } of depthWise) {
    if (misprint !== undefined) continue;
    expect(mean).toBeGreaterThanOrEqual(1);
    expect(mean).toBeLessThanOrEqual(loops);
  }
  const leftOut = depthWise.filter(({ misprint }) => misprint !== undefined);
  expect(leftOut.map(({ model, loops, rank, coefficient }) => [model, loops, rank, coefficient])).toEqual([
    ['Gemma', 3, 64, 0.1],
    ['Gemma', 3, 64, 0.3],
  ]);
  for (const row of leftOut) expect(row).not.toHaveProperty('gains');
});

test('gains over sequence-wise batching are those that the paper prints, where it prints them for SlimPajama alone', () => {
  const gemma = depthWise[0]!;
  expect(gemma.gains!.paper).toBeCloseTo(3159 / 1622, 2);
});

test('what the paper left out only takes from the gain, and each part takes what it must', () => {
  for (const { gains, remaining } of depthWise) {
    if (gains === undefined) continue;
    expect(gains.head).toBeLessThan(gains.paper);
    expect(gains.confidence).toBeLessThanOrEqual(gains.head);
    expect(gains.propagate).toBeLessThan(gains.confidence);
    expect(gains.complete).toBeLessThan(gains.propagate);
    expect(gains.shrink).toBeLessThan(gains.paper);
    expect(remaining).toBeGreaterThan(0.6);
    expect(remaining).toBeLessThan(1);
  }
  // By hand, Gemma with 2 loops: mean m = 1000 / (0.265 · 3159), keys and values 0.95 % of a layer.
  const m = 1000 / (0.265 * 3159);
  const share = 1 / (1 + 8 + 3 * 32);
  expect(keyValueShare(modelShapes.Gemma)).toBeCloseTo(share, 12);
  expect(depthWise[0]!.gains).toMatchObject({
    head: expect.closeTo(0.641 / (0.265 * m + 0.025), 10),
    confidence: expect.closeTo(0.641 / (0.265 * m + 0.002 + 0.023 * m), 10),
    propagate: expect.closeTo(0.641 / (0.265 * m + 0.002 + 0.023 * m + 0.265 * (2 - m) * share), 10),
    complete: expect.closeTo(0.641 / (0.265 * 2 + 0.002 + 0.023 * m), 10),
  });
});

test('the events of a schedule give the printed rates back, within 1 %', async () => {
  for (const [index, printed] of [
    [0, 3159],
    [9, 3120],
    [27, 1339],
  ] as const) {
    const row = depthWise[index]!;
    expect(depthWiseRates[index]!.tokensPerSecond).toBe(printed);
    const times = tableK1.find((r) => r.model === row.model && r.loops === row.loops && r.rank === row.rank)!;
    const steady = paperScenario(times, row.meanExit!);
    expect(meanExit(steady.exits)).toBeCloseTo(row.meanExit!, 9);
    // Every sequence has exactly the shares of exits, in another order each, so that the mean is exact.
    const tokens = 200;
    const exits = Array.from({ length: 4 * times.maxBatch }, (_, sequence) =>
      Array.from({ length: tokens }, (__, i) => quantile(steady.exits, ((i * 73 + sequence * 11) % tokens) / tokens)),
    );
    const scenario = {
      ...steady,
      requests: exits.map((each) => ({ arrival: 0, promptTokens: 0, exits: each })),
      maxRows: times.maxBatch,
      maxSequences: times.maxBatch,
      rowOrder: 'oldest' as const,
      prefillChunk: 64,
    };
    const { steadyTokensPerSecond } = (await simulateBatching(scenario, 'depth-wise'))!;
    expect(Math.abs(steadyTokensPerSecond! / printed - 1)).toBeLessThan(0.01);
    expect(closedForm(steady, 'depth-wise')).toBeCloseTo(printed, 6);
  }
});

function quantile(shares: readonly number[], at: number): number {
  let sum = 0;
  for (const [i, share] of shares.entries()) {
    sum += share;
    if (sum > at + 1e-12) return i + 1;
  }
  return shares.length;
}
