import type { KvPolicy } from '../../../runtime/depth-batched/core.ts';
import type { ExitRule, GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import { chooseToken } from '../../../runtime/sampling.ts';
import type { FakeModel, State } from './fake-model.ts';

export interface Continuation {
  readonly tokens: readonly number[];
  readonly exits: readonly number[];
  readonly confidences: readonly number[];
}

type Entry = { readonly key: State; readonly value: State };

/** What a request comes to: one sequence, one token after the other, one loop after the other, no pages. */
export function continueAlone(
  model: FakeModel,
  policy: KvPolicy,
  request: GenerationRequest,
  endTokens: readonly number[] = [],
): Continuation {
  const { prelude, block, loops, coda } = model.shape;
  const { prompt, maxNewTokens, sampling = { kind: 'greedy' }, ignoreEos, forced } = request;
  const rule: ExitRule = request.exit ?? { kind: 'threshold', threshold: 1 };
  /** By stored layer, depth (0 outside of the block, and under `shared`) and position. */
  const entries: Entry[][][] = Array.from({ length: prelude + block + coda }, () =>
    Array.from({ length: loops }, () => []),
  );
  const slot = (depth: number) => (policy === 'shared' ? 0 : depth);

  const layer = (k: number, depth: number, at: number, state: State, position: number): State => {
    const own = {
      key: model.entry('key', k, depth, state, position),
      value: model.entry('value', k, depth, state, position),
    };
    const seen = entries[k]![at]!;
    seen[position] = own;
    let view = 0;
    for (let i = 0; i <= position; i++) view = model.look(view, seen[i]!.key, seen[i]!.value);
    return model.behind(k, depth, state, view);
  };

  /** Runs a token; `leaves` is asked behind every loop. Returns the state that its head reads, and the loop. */
  const runToken = (token: number, position: number, leaves: (loop: number, state: () => State) => boolean) => {
    let state = model.embed(token);
    for (let k = 0; k < prelude; k++) state = layer(k, -1, 0, state, position);
    let left: { readonly state: State; readonly exit: number } | undefined;
    for (let depth = 0; depth < loops; depth++) {
      for (let k = prelude; k < prelude + block; k++) state = layer(k, depth, slot(depth), state, position);
      const throughCoda = () => {
        let read = state;
        for (let k = prelude + block; k < prelude + block + coda; k++) read = layer(k, -1, 0, read, position);
        return read;
      };
      if (left === undefined && leaves(depth + 1, throughCoda)) left = { state: throughCoda(), exit: depth + 1 };
      if (left === undefined || policy === 'complete') continue;
      for (let deeper = depth + 1; deeper < loops; deeper++) {
        for (let k = prelude; k < prelude + block; k++) {
          const seen = entries[k]!;
          if (policy === 'last-exited') seen[deeper]![position] = seen[depth]![position]!;
          if (policy === 'propagate') {
            seen[deeper]![position] = {
              key: model.entry('key', k, deeper, state, position),
              value: model.entry('value', k, deeper, state, position),
            };
          }
        }
      }
      break;
    }
    return left!;
  };

  const tokens: number[] = [];
  const exits: number[] = [];
  const confidences: number[] = [];
  const choose = ({ state, exit }: { readonly state: State; readonly exit: number }): number => {
    const token = chooseToken(model.logits(state), sampling, 0, tokens.length);
    tokens.push(token);
    exits.push(exit);
    confidences.push(model.confidence(state));
    return forced?.[tokens.length - 1] ?? token;
  };

  let last = { state: [] as State, exit: loops };
  prompt.forEach((token, position) => {
    last = runToken(token, position, (loop) => loop === loops);
  });
  let next = choose(last);
  while (tokens.length < maxNewTokens && (ignoreEos || !endTokens.includes(next))) {
    const leaves = (loop: number, state: () => State): boolean => {
      if (loop === loops) return true;
      switch (rule.kind) {
        case 'fixed':
          return loop === rule.loop;
        case 'trace':
          return loop === rule.exits[tokens.length];
        case 'threshold':
          return rule.threshold < 1 && model.shape.exits.includes(loop) && model.confidence(state()) >= rule.threshold;
        case 'budget':
          throw new RangeError('a budget is no matter of one sequence');
      }
    };
    next = choose(runToken(next, prompt.length + tokens.length - 1, leaves));
  }
  return { tokens, exits, confidences };
}
