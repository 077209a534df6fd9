import { expect, test } from 'vitest';
import { engineNumbers } from '../../measure/measure-engine.ts';
import type { StepReport } from '../../runtime/depth-batched/core.ts';

/** A step of `rows` rows that was heard of at a time, of which parts were inside the core and inside ONNX Runtime. */
function heard(at: number, rows: number, total: number, run: number, kind: StepReport['kind'] = 'decode') {
  const row = { request: 0, depth: 0, tokens: 1, role: 'token' as const };
  const token = { request: 0, token: 0, exit: 1, confidence: 1 };
  const report: StepReport = {
    kind,
    rows: Array.from({ length: rows }, () => row),
    heads: 1,
    tokens: [token],
    ended: [],
    milliseconds: { total, run },
  };
  return { report, at };
}

test('host and messages are what wall clock and reports leave to each other', () => {
  // The second half: from 100 to 200, in which steps took 90 and ONNX Runtime 80.
  const first = [heard(0, 4, 500, 500), heard(25, 4, 1, 1), heard(50, 4, 1, 1)];
  const steps = [...first, heard(100, 4, 1, 1), heard(130, 2, 30, 25, 'prefill')];
  const numbers = engineNumbers([...steps, heard(170, 4, 35, 33), heard(200, 4, 25, 22)], 4)!;
  expect(numbers.hostShare).toBeCloseTo(0.2);
  expect(numbers.messageShare).toBeCloseTo(0.1);
  expect(numbers.tokensPerSecond).toBeCloseTo(30);
});

test('nothing without two full batches', () => {
  expect(engineNumbers([], 4)).toBeUndefined();
  expect(engineNumbers([heard(0, 4, 1, 1), heard(1, 3, 1, 1)], 4)).toBeUndefined();
});
