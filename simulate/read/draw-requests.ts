import type { ExitShares } from '../exit-shares.ts';
import { randomNumbers } from '../random-numbers.ts';
import type { SimulatedRequest } from '../scenario.ts';
import type { SimulationFile } from '../simulation-file.ts';
import type { TracedSequence } from './read-trace.ts';

type Workload = SimulationFile['workload'];

/** Sequences that a workload without a trace has. */
const defaultSequences = 256;
const defaultNewTokens = 128;

/** Lengths of a sequence, prompt and new tokens. */
export interface SequenceLengths {
  readonly promptTokens: number;
  readonly newTokens: number;
}

/** The lengths of all sequences of a workload. Sequence i takes what it does not say from the trace, over and over. */
export function drawLengths(
  workload: Workload,
  trace: readonly TracedSequence[] | undefined,
): readonly SequenceLengths[] {
  const random = randomNumbers(workload.seed);
  const count = workload.sequences ?? trace?.length ?? defaultSequences;
  const draw = (length: Workload['newTokens'], otherwise: number) => {
    if (length === undefined) return otherwise;
    if (typeof length === 'number') return length;
    return length.least + Math.floor(random() * (length.most - length.least + 1));
  };
  return Array.from({ length: count }, (_, i) => {
    const traced = trace?.[i % trace.length];
    return {
      promptTokens: draw(workload.promptTokens, traced?.promptTokens ?? 0),
      newTokens: draw(workload.newTokens, traced?.exits.length ?? defaultNewTokens),
    };
  });
}

/**
 * The sequences of a workload. The first new token of a trace comes from the prompt, which runs all loops, and so does
 * that of any sequence whose prompt is simulated: exits are those of the tokens behind it. Sequences without a token to
 * decode and without a prompt are left out.
 * @param prompts whether prompts are simulated
 */
export function drawRequests(
  workload: Workload,
  lengths: readonly SequenceLengths[],
  exits: readonly TracedSequence[] | ExitShares,
  prompts: boolean,
): readonly SimulatedRequest[] {
  // Streams of their own: other lengths do not change when sequences arrive.
  const forArrivals = randomNumbers(workload.seed ^ 0x5bd1e995);
  const forExits = randomNumbers(workload.seed ^ 0x27d4eb2f);
  const { kind, perSecond = 1 } = workload.arrivals;
  let arrival = 0;
  return lengths
    .map(({ promptTokens, newTokens }, i): SimulatedRequest => {
      if (kind === 'poisson') arrival -= (1000 * Math.log(1 - forArrivals())) / perSecond;
      const prompt = prompts ? promptTokens : 0;
      const traced = exits[i % exits.length]!;
      const given = prompt > 0 || typeof traced === 'object' ? 1 : 0;
      const decoded = new Uint16Array(newTokens - given);
      for (let token = 0; token < decoded.length; token++) {
        decoded[token] =
          typeof traced === 'object'
            ? tracedExit(traced.exits, token + given)
            : drawnExit(exits as ExitShares, forExits());
      }
      return { arrival, promptTokens: prompt, exits: decoded };
    })
    .filter(({ promptTokens, exits: decoded }) => promptTokens > 0 || decoded.length > 0);
}

/** Past its end a trace starts again behind the token that its prompt gave. */
function tracedExit(exits: readonly number[], token: number): number {
  return token < exits.length || exits.length === 1
    ? exits[Math.min(token, exits.length - 1)]!
    : exits[1 + ((token - 1) % (exits.length - 1))]!;
}

function drawnExit(shares: ExitShares, at: number): number {
  let sum = 0;
  let last = 1;
  for (const [i, share] of shares.entries()) {
    if (share > 0) last = i + 1;
    sum += share;
    if (at < sum) return i + 1;
  }
  return last;
}
