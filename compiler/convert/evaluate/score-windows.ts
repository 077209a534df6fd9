import type { PackageManifest } from '../../../files/manifest.ts';
import { invariant } from '../../../ir/invariant.ts';
import { emptyCache } from '../../../runtime/kv-cache.ts';
import type { GraphSession } from '../../../runtime/session.ts';

/** How well a model knows a text. */
export interface TextScore {
  /** Mean of −ln of the probability of every token that is predicted, in nats a token. */
  readonly nll: number;
  /** e to that. */
  readonly perplexity: number;
  /** Tokens that were predicted: all but the first of each window. */
  readonly tokens: number;
}

export interface ScoreOptions {
  readonly vocabulary: number;
  readonly signal?: AbortSignal | undefined;
  /** Windows that are done, of all. */
  readonly onWindows?: ((done: number, of: number) => void) | undefined;
}

/** Bytes that the logits of a batch may take: one window of a vocabulary of 256,000 takes about as much. */
const logitBytes = 2 ** 27;

/**
 * Runs windows through a graph of the form unrolled, in batches whose logits stay small. The last token of a window is
 * only predicted, never read. Rejects with the signal's reason when it aborts, between batches.
 * @param windows all of one length, at least two
 */
export async function scoreWindows(
  session: Pick<GraphSession, 'run'>,
  manifest: PackageManifest,
  windows: readonly (readonly number[])[],
  { vocabulary, signal, onWindows }: ScoreOptions,
): Promise<TextScore> {
  const length = windows[0]!.length - 1;
  const atATime = Math.min(16, Math.max(1, Math.floor(logitBytes / (4 * length * vocabulary))));
  let sum = 0;
  for (let first = 0; first < windows.length; first += atATime) {
    signal?.throwIfAborted();
    onWindows?.(first, windows.length);
    const batch = windows.slice(first, first + atATime);
    const integers = (values: readonly number[]) => ({
      type: 'i64' as const,
      dims: [batch.length, length],
      data: BigInt64Array.from(values, BigInt),
    });
    const read = batch.map((window) => window.slice(0, length));
    const { logits } = await session.run(
      {
        input_ids: integers(read.flat()),
        attention_mask: integers(read.flatMap((window) => window.map(() => 1))),
        position_ids: integers(read.flatMap((window) => window.map((_, i) => i))),
        ...emptyCache(manifest, batch.length),
      },
      ['logits'],
    );
    invariant(logits?.data instanceof Float32Array, 'logits that are not float32');
    const { data } = logits;
    batch.forEach((window, row) => {
      for (let t = 0; t < length; t++) {
        const at = (row * length + t) * vocabulary;
        const own = data.subarray(at, at + vocabulary);
        sum += logSumExp(own) - own[window[t + 1]!]!;
      }
    });
  }
  const tokens = windows.length * length;
  const nll = sum / tokens;
  return { nll, perplexity: Math.exp(nll), tokens };
}

/** ln of the sum of e to each number, in float64. */
function logSumExp(numbers: Float32Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const x of numbers) if (x > largest) largest = x;
  // What is this far below the largest adds nothing that float64 could hold, however many there are.
  const least = largest - 60;
  let total = 0;
  for (const x of numbers) if (x > least) total += Math.exp(x - largest);
  return largest + Math.log(total);
}
