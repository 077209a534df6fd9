import type { Batching, CoreOptions, KvPolicy, RowOrder } from '../../../runtime/depth-batched/core.ts';
import type { ExitRule, GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import type { StepShape } from '../../../runtime/depth-batched/step-model.ts';
import { randomStream } from '../../support/random.ts';

/** Requests to a fake model, when they come and go, and who serves them. */
export interface Case {
  readonly shape: Partial<StepShape> & { readonly loops: number };
  readonly options: CoreOptions;
  /** Positions that there are pages for, times the depths that need pages of their own. */
  readonly spans: number;
  readonly requests: readonly {
    readonly request: GenerationRequest;
    /** Steps before it is submitted. */
    readonly joins: number;
    /** Steps after that before it is cancelled. */
    readonly cancelled: number | undefined;
  }[];
}

export function drawCase(seed: string): Case {
  const random = randomStream(seed);
  const whole = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  const among = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const chance = (share: number) => random() < share;

  const loops = among([1, 2, 2, 3, 3, 4]);
  const inner = Array.from({ length: loops - 1 }, (_, i) => i + 1);
  const pageSize = among([1, 2, 3, 5]);
  const shape = {
    prelude: whole(0, 1),
    block: whole(1, 2),
    loops,
    coda: whole(0, 1),
    pageSize,
    groups: among([1, 1, 2, 3]),
    exits: inner.filter(() => chance(0.7)),
  };
  const maxRows = whole(1, 6);
  const options: CoreOptions = {
    maxRows,
    maxSequences: chance(0.5) ? maxRows : whole(1, 8),
    prefillChunk: whole(1, 6),
    kvPolicy: among<KvPolicy>(['last-exited', 'propagate', 'complete', 'shared']),
    batching: among<Batching>(['depth-wise', 'depth-wise', 'sequence-wise', 'sequence-wise-shrink']),
    rowOrder: among<RowOrder>(['oldest', 'deepest', 'fullest']),
    endTokens: chance(0.5) ? [whole(0, 22)] : [],
  };
  const long = chance(0.5);
  const rule = (): ExitRule =>
    among<() => ExitRule>([
      () => ({ kind: 'threshold', threshold: among([0, 0.3, 0.6, 0.9, 1, 2]) }),
      () => ({ kind: 'fixed', loop: whole(1, loops) }),
      () => ({ kind: 'trace', exits: Array.from({ length: whole(0, 12) }, () => whole(1, loops)) }),
    ])();
  const requests = Array.from({ length: whole(1, 8) }, () => ({
    request: {
      prompt: Array.from({ length: whole(1, 14) }, () => whole(0, 22)),
      maxNewTokens: whole(1, long ? 24 : 8),
      exit: rule(),
      ignoreEos: chance(0.3),
      ...(chance(0.3)
        ? { sampling: { kind: 'sample' as const, seed: whole(0, 99), temperature: 0.2 + random(), topK: whole(1, 23) } }
        : {}),
      ...(chance(0.15) ? { forced: Array.from({ length: whole(0, 8) }, () => whole(0, 22)) } : {}),
    },
    joins: chance(0.3) ? 0 : whole(0, 30),
    cancelled: chance(0.15) ? whole(0, 20) : undefined,
  }));
  const longest = Math.max(...requests.map(({ request }) => request.prompt.length + request.maxNewTokens - 1));
  const spans = Math.ceil(longest / pageSize) + (chance(0.5) ? whole(0, 2) : whole(0, 12));
  return { shape: { ...shape, neverEmpty: chance(0.3) }, options, spans, requests };
}
