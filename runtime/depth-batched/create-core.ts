import { failure, type Result, success } from '../../files/diagnostics.ts';
import { invariant } from '../../ir/invariant.ts';
import { checkRequest } from '../engine/check-request.ts';
import { createBudgets } from './budget.ts';
import type { Core, CoreOptions, StepReport } from './core.ts';
import { createDecoding } from './decoding.ts';
import { createHiddenStates } from './hidden-states.ts';
import { prefillRows } from './prefill.ts';
import type { GenerationRequest } from './request.ts';
import { createResidents } from './residents.ts';
import { runStep, type StepSetting } from './run-step.ts';
import { nextLength, type PassRules, type Sequence, startPass } from './sequence.ts';
import { createSpans } from './spans.ts';
import type { StepModel } from './step-model.ts';

/**
 * A scheduler over a step graph. What it does follows from the requests, the order of the calls and what the graph gives,
 * and from nothing else.
 */
export function createCore(model: StepModel, options: CoreOptions): Core {
  const { shape } = model;
  const { maxRows, maxSequences = maxRows, prefillChunk = 64, kvPolicy = 'last-exited' } = options;
  const { batching = 'depth-wise', rowOrder = 'oldest', threshold = 1 } = options;
  const rules: PassRules = { shape, policy: kvPolicy, prefillChunk };
  const spans = createSpans(model, kvPolicy);
  const residents = createResidents(spans, maxSequences, shape.pageSize);
  const decoding = createDecoding(rules, batching, maxRows, rowOrder);
  const inPages = spans.total * shape.pageSize;
  const maxPositions = Math.min(options.maxPositions ?? Number.POSITIVE_INFINITY, inPages);
  /** Requests that have not ended. */
  const known = new Map<number, Sequence>();
  const cancelled = new Set<Sequence>();
  let age = 0;
  let lastKind: StepReport['kind'] = 'decode';
  let busy = false;

  const end = (sequence: Sequence) => {
    known.delete(sequence.id);
    cancelled.delete(sequence);
    residents.end(sequence);
  };
  const setting: StepSetting = {
    model,
    rules,
    budgets: createBudgets(threshold),
    states: createHiddenStates(shape),
    endTokens: new Set(options.endTokens),
    ride: batching === 'sequence-wise',
    end,
  };

  const submit = (id: number, request: GenerationRequest): Result<void> => {
    invariant(!known.has(id), `request ${id} is there already`);
    const whose = maxPositions === inPages ? 'engine' : 'model';
    const limits = { vocabulary: shape.vocabulary, loops: shape.loops, positions: maxPositions, whose } as const;
    const problems = checkRequest(limits, request);
    if (problems.length > 0) return failure(...problems);
    const sequence: Sequence = {
      id,
      age: age++,
      request,
      rule: request.exit ?? { kind: 'threshold', threshold },
      tokens: [],
      exits: [],
      passes: [],
      started: 0,
      left: 0,
      replayed: 0,
      pages: spans.none(),
    };
    known.set(id, sequence);
    residents.queue(sequence);
    return success(undefined);
  };

  const startPasses = () => {
    // A claim may take later sequences out of the list.
    for (let i = 0; i < residents.running.length; i++) {
      const sequence = residents.running[i]!;
      const length = nextLength(sequence, rules);
      if (length === 0 || !isFree(sequence)) continue;
      if (length === 1 && !decoding.mayStart(sequence)) continue;
      if (!residents.claim(sequence, rules)) continue;
      const pass = startPass(sequence, rules);
      if (length === 1) decoding.started(pass);
    }
  };

  /** Whether the passes under way let the next one start: the last of them is a loop ahead, under `shared` through. */
  const isFree = ({ passes }: Sequence) => {
    const last = passes.at(-1);
    return last === undefined || (kvPolicy !== 'shared' && last.depth > 0);
  };

  /** Prefill and decoding take turns, so that neither waits for more than a step of the other. */
  const pick = () => {
    const decode = decoding.rows(residents.running);
    const prefill = lastKind === 'decode' || decode.length === 0 ? prefillRows(residents.running, rules) : [];
    return prefill.length > 0
      ? ({ kind: 'prefill', passes: prefill } as const)
      : ({ kind: 'decode', passes: decode } as const);
  };

  const step = async (): Promise<StepReport | undefined> => {
    const started = performance.now();
    const ended = [...cancelled].map((sequence) => {
      end(sequence);
      return { request: sequence.id, reason: 'cancelled' } as const;
    });
    decoding.tidy();
    residents.admit();
    startPasses();
    const { kind, passes } = pick();
    if (passes.length === 0) {
      invariant(known.size === 0, `nothing to do, and ${known.size} requests have not ended`);
      if (ended.length === 0) return undefined;
      return {
        kind,
        rows: [],
        heads: 0,
        tokens: [],
        ended,
        milliseconds: { total: performance.now() - started, run: 0 },
      };
    }
    const { inside, ...outcome } = await runStep(setting, passes);
    lastKind = kind;
    return { kind, ...outcome, ended, milliseconds: { total: performance.now() - started, run: inside } };
  };

  return {
    submit,
    cancel: (id) => {
      const sequence = known.get(id);
      if (sequence !== undefined) cancelled.add(sequence);
    },
    step: async () => {
      invariant(!busy, 'a step was asked for while another one runs');
      busy = true;
      try {
        return await step();
      } finally {
        busy = false;
      }
    },
    state: () => ({
      waiting: residents.waiting.length,
      running: residents.running.length,
      preemptions: residents.preemptions(),
      pages: spans.pages(),
    }),
    maxPositions,
  };
}
