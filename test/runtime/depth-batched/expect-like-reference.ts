import { expect } from 'vitest';
import { makeTensor } from '../../../ir/interpret/tensor.ts';
import type { ExitRule, GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import { expectClose } from '../../support/expect-close.ts';
import type { KvPolicyReference, PolicyRequest, PolicyRun } from '../../support/kv-policy-reference.ts';
import type { Outcome } from './run-schedule.ts';

/** A request to the runtime, and what has to come of it. */
export interface ReferenceCase {
  readonly request: GenerationRequest;
  readonly expected: PolicyRun;
  /** How far off a logit may be, over the largest of its token. */
  readonly tolerance: number;
}

/** What ONNX Runtime's float32 may move a logit by. */
const ordinary = 1e-4;

/**
 * Asks the reference. Under `shared` what a token left at its last loop is what the next one starts from: a model of
 * random weights makes a rounding error several times larger with every token. How much so is measured, and the tokens
 * are forced, so that a choice between equals changes nothing else.
 */
export async function referenceCase(
  reference: KvPolicyReference,
  asked: Omit<PolicyRequest, 'leaves'>,
  exit: Extract<ExitRule, { readonly kind: 'threshold' | 'trace' }>,
): Promise<ReferenceCase> {
  const { prompt, maxNewTokens, policy } = asked;
  const expected = await reference.generate({ ...asked, leaves: exit });
  const request = { prompt, maxNewTokens, exit, ignoreEos: true };
  if (policy !== 'shared') return { request, expected, tolerance: ordinary };
  const forced = expected.tokens;
  const trace = { kind: 'trace', exits: expected.exits } as const;
  const rounded = await reference.generate({ ...asked, leaves: trace, forced, rounded: true });
  const moved = expected.logits.map((row, t) => {
    const by = row.reduce((most, x, i) => Math.max(most, Math.abs(x - rounded.logits[t]![i]!)), 0);
    return by / largest(row);
  });
  return { request: { ...request, forced }, expected, tolerance: Math.max(ordinary, 60 * Math.max(...moved)) };
}

/** Fails where a sequence has not left where the reference says, or was offered other logits. */
export function expectLikeReference(
  found: Outcome,
  { request, expected, tolerance }: ReferenceCase,
  what: string,
): void {
  expect(tolerance, what).toBeLessThan(0.02);
  expect(found.exits, what).toEqual(expected.exits);
  if (request.forced === undefined) expect(found.tokens, what).toEqual(expected.tokens);
  for (const [t, row] of found.logits.entries()) {
    const flat = (data: ArrayLike<number>) => makeTensor('f32', [data.length], Float64Array.from(data));
    expectClose(flat(row), flat(expected.logits[t]!), tolerance, `logits of token ${t}, ${what}`);
    const sure = expected.confidences[t]!.at(-1)!;
    expect(Math.abs(found.confidences[t]! - sure), `confidence of token ${t}, ${what}`).toBeLessThan(10 * tolerance);
  }
}

function largest(row: Float64Array): number {
  return row.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}
