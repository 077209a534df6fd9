import { expect } from 'vitest';
import type { GenerationRequest } from '../../runtime/depth-batched/request.ts';
import { randomStream } from '../support/random.ts';
import type { Generated } from './reference.ts';
import type { ClientRequest, Scenario } from './run-harness.ts';

/** Requests that come when they come, the last of them once others have ended. */
export function drawRequests(
  seed: number,
  count: number,
  {
    vocabulary,
    longest,
    threshold,
  }: { readonly vocabulary: number; readonly longest: number; readonly threshold: number },
): readonly GenerationRequest[] {
  const random = randomStream(String(seed));
  const upTo = (most: number) => 1 + Math.floor(random() * most);
  return Array.from({ length: count }, (_, i) => ({
    // Some prompts end in a chunk of one token, which runs with those who decode, behind one that has to wait its turn.
    prompt: Array.from({ length: i % 4 < 2 ? Math.min(longest, 17) : upTo(longest) }, () => upTo(vocabulary - 1)),
    maxNewTokens: upTo(24),
    exit: { kind: 'threshold', threshold: i % 4 === 3 ? 1 : threshold },
    ...(i % 3 === 2 && { sampling: { kind: 'sample', temperature: 0.8, seed: i } }),
    ...(i % 2 === 0 && { ignoreEos: true }),
  }));
}

/** The same as a client of Triton's says it; some have no numbers for parameters, and write them as text. */
export function asClient(
  { prompt, maxNewTokens, exit, sampling, ignoreEos }: GenerationRequest,
  arrives: number,
): ClientRequest {
  const exit_threshold = exit?.kind === 'threshold' ? exit.threshold : 1;
  const { temperature = 0, seed = 0 } = sampling?.kind === 'sample' ? sampling : {};
  const numbers = { max_new_tokens: maxNewTokens, exit_threshold, temperature, seed };
  const written = Object.entries(numbers).map(([name, value]) => [name, arrives % 2 === 0 ? value : String(value)]);
  return { input_ids: prompt, arrives, parameters: { ...Object.fromEntries(written), ignore_eos: ignoreEos ?? false } };
}

/** Eight slots, batches by chance, requests that trickle in. */
export function scenarioOf(requests: readonly GenerationRequest[], more: Partial<Scenario> = {}): Scenario {
  const clients = requests.map((request, i) => asClient(request, Math.floor(i / 2) * 5 + (i % 2)));
  const parameters = { max_rows: '6', prefill_chunk: '16', spans: '60', threads: '1', ...more.parameters };
  return { requests: clients, seed: 7, max_candidate_sequences: 8, max_batch_size: 8, ...more, parameters };
}

export function results(clients: readonly (Generated & { readonly error: string | null })[]): readonly Generated[] {
  for (const { error } of clients) expect(error).toBeNull();
  return clients.map(({ tokens, exits }) => ({ tokens, exits }));
}

/** A comparison that nothing could fail would be none: tokens leave at several depths. */
export function expectMixed(runs: readonly Generated[], loops: number): void {
  const exits = new Set(runs.flatMap((run) => run.exits));
  expect([...exits].sort()).toEqual(Array.from({ length: loops }, (_, i) => i + 1));
}
