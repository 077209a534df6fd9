import type { Diagnostic } from '../../files/diagnostics.ts';
import type { CoreState, StepReport, TokenEvent } from '../depth-batched/core.ts';
import type { FinishReason, GenerationRequest } from '../depth-batched/request.ts';

/** What an engine tells its worker, in lists: all that was said in one turn. */
export type ToWorker =
  | { readonly kind: 'submit'; readonly id: number; readonly request: GenerationRequest }
  | { readonly kind: 'cancel'; readonly id: number }
  /** Asks for one message `state` with the same number. */
  | { readonly kind: 'state'; readonly question: number }
  /** Whether anybody listens to reports: they cost more than tokens alone. */
  | { readonly kind: 'reports'; readonly wanted: boolean }
  | { readonly kind: 'close' };

/** What a worker tells its engine. */
export type FromWorker =
  /** Once, first: the package is loaded, or could not be. */
  | { readonly kind: 'opened' }
  | { readonly kind: 'refused'; readonly diagnostics: readonly Diagnostic[] }
  /** A request that could never be served. */
  | { readonly kind: 'rejected'; readonly id: number; readonly diagnostics: readonly Diagnostic[] }
  | StepsMessage
  | { readonly kind: 'state'; readonly question: number; readonly state: CoreState }
  /** The worker gave up. `error` is there when that is a bug and no fault of the machine's or the input's. */
  | { readonly kind: 'failed'; readonly diagnostic: Diagnostic; readonly error?: unknown }
  /** Once, last: everything is freed. */
  | { readonly kind: 'closed' };

/** What came of one or several steps, if anything did. */
export interface StepsMessage {
  readonly kind: 'steps';
  /** See {@link packTokens}. */
  readonly tokens: readonly number[];
  readonly ended: StepReport['ended'];
  /** Only when somebody listens. */
  readonly reports?: readonly StepReport[];
}

const fields = 6;
const reasons: readonly (FinishReason | undefined)[] = [undefined, 'length', 'stop', 'cancelled'];

/** Tokens as one flat list: copying that to another thread takes half the time of a list of objects. */
export function packTokens(tokens: readonly TokenEvent[]): readonly number[] {
  const numbers: number[] = [];
  for (const { request, token, exit, confidence, forcedLogProbability = Number.NaN, finished } of tokens) {
    numbers.push(request, token, exit, confidence, forcedLogProbability, reasons.indexOf(finished));
  }
  return numbers;
}

export function unpackTokens(numbers: readonly number[]): readonly TokenEvent[] {
  return Array.from({ length: numbers.length / fields }, (_, i) => {
    const at = (field: number) => numbers[i * fields + field]!;
    const forced = at(4);
    const finished = reasons[at(5)];
    return {
      request: at(0),
      token: at(1),
      exit: at(2),
      confidence: at(3),
      ...(Number.isNaN(forced) ? {} : { forcedLogProbability: forced }),
      ...(finished === undefined ? {} : { finished }),
    };
  });
}
