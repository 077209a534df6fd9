import type { SourceModel } from '../../compiler/read/source-model.ts';
import { confidenceOf } from './loop-reference.ts';
import { type Entry, type ModelParts, modelParts } from './model-parts.ts';

/**
 * What becomes of the keys and values of loops that a token skipped:
 * - `last-exited`: at every deeper depth it has those that it had at the depth it left behind;
 * - `propagate`: at every deeper depth each layer makes them from the state that the token left with;
 * - `complete`: it runs on, only its choice is made early;
 * - `shared`: there is one set for all depths, in which a token's later loops overwrite its earlier ones.
 */
export type Policy = 'last-exited' | 'propagate' | 'complete' | 'shared';

/** Behind which loop, from 1, a token leaves that is no prompt token: those run all loops. */
export type Leaves =
  /** Behind the first loop of `after` (the model's own by default) that it is so sure at, if the threshold is below 1. */
  | { readonly kind: 'threshold'; readonly threshold: number; readonly after?: readonly number[] }
  /** New token i is chosen behind loop exits[i]; behind the last past the end, and entry 0 is not read. */
  | { readonly kind: 'trace'; readonly exits: readonly number[] };

export interface PolicyRequest {
  readonly prompt: readonly number[];
  readonly maxNewTokens: number;
  readonly policy: Policy;
  readonly leaves: Leaves;
  /** Tokens to go on with, whatever is chosen: choice i is recorded, and `forced[i]` is read next. */
  readonly forced?: readonly number[];
  /** Rounds the hidden state behind every layer to float32: how much of what comes of it is rounding? */
  readonly rounded?: boolean;
}

/** What comes of it; lists are by new token but for `entries`. */
export interface PolicyRun {
  /** The likeliest tokens, the lowest of equals. */
  readonly tokens: readonly number[];
  /** Loop behind which each was chosen. */
  readonly exits: readonly number[];
  /** [vocab] that each was chosen from. */
  readonly logits: readonly Float64Array[];
  /** How sure the choice was behind every loop that was run for it; only the last one for the first. */
  readonly confidences: readonly (readonly number[])[];
  /** By stored layer, depth (one outside the block and under `shared`), and position. The last new token has none. */
  readonly entries: readonly (readonly (readonly Entry[])[])[];
}

/** Greedy generation for one sequence alone, token by token and layer by layer, as a policy defines it. */
export interface KvPolicyReference {
  readonly generate: (request: PolicyRequest) => Promise<PolicyRun>;
}

export function kvPolicyReference(model: SourceModel): KvPolicyReference {
  const parts = modelParts(model);
  return { generate: (request) => generate(model, parts, request) };
}

async function generate(
  model: SourceModel,
  parts: ModelParts,
  { prompt, maxNewTokens, policy, leaves, forced, rounded }: PolicyRequest,
): Promise<PolicyRun> {
  const { prelude, block, loops, coda } = model.recursion;
  const preludeLayers = range(0, prelude);
  const blockLayers = range(prelude, prelude + block);
  const codaLayers = range(prelude + block, prelude + block + coda);
  const entries: Entry[][][] = range(0, prelude + block + coda).map((k) =>
    blockLayers.includes(k) && policy !== 'shared' ? range(0, loops).map(() => []) : [[]],
  );
  const slot = (k: number, depth: number): Entry[] => entries[k]![policy === 'shared' ? 0 : depth]!;

  /** Runs a token through layers of one depth; `keep` gets what they made. */
  const run = async (
    layers: readonly number[],
    depth: number | undefined,
    state: Float64Array,
    position: number,
    keep: (k: number, entry: Entry) => void,
  ): Promise<Float64Array> => {
    let hidden = state;
    for (const k of layers) {
      const made = await parts.layer(k, depth, hidden, slot(k, depth ?? 0).slice(0, position));
      keep(k, made.entry);
      hidden = rounded ? made.hidden.map(Math.fround) : made.hidden;
    }
    return hidden;
  };

  const tokens: number[] = [];
  const exits: number[] = [];
  const logits: Float64Array[] = [];
  const confidences: number[][] = [];
  for (let position = 0; tokens.length < maxNewTokens; position++) {
    const isPrompt = position < prompt.length;
    const place = position - prompt.length;
    const token = isPrompt ? prompt[position]! : (forced?.[place] ?? tokens[place]!);

    let state = await run(preludeLayers, undefined, await parts.embed(token), position, (k, entry) => {
      slot(k, 0)[position] = entry;
    });
    const sure: number[] = [];
    let leftWith: Float64Array | undefined;
    for (let depth = 0; depth < loops; depth++) {
      const loop = depth + 1;
      if (leftWith && policy === 'propagate') {
        // Every layer takes the state that the token left with, and nothing but the entry is used.
        for (const k of blockLayers) {
          await run([k], depth, leftWith, position, (_, entry) => {
            slot(k, depth)[position] = entry;
          });
        }
      } else if (leftWith && policy === 'last-exited') {
        for (const k of blockLayers) slot(k, depth)[position] = slot(k, depth - 1)[position]!;
      } else if (!leftWith || policy === 'complete') {
        state = await run(blockLayers, depth, state, position, (k, entry) => {
          slot(k, depth)[position] = entry;
        });
      }
      if (leftWith || (isPrompt && loop < loops)) continue;

      // As if it left here; what the coda made is kept only if it does.
      const codaEntries = new Map<number, Entry>();
      const tail = await run(codaLayers, undefined, state, position, (k, entry) => codaEntries.set(k, entry));
      const offered = await parts.logits(tail);
      sure.push(confidenceOf(model.exits?.confidence ?? 'top1', offered));
      if (loop < loops && !leavesHere(model, leaves, loop, sure.at(-1)!, place + 1)) continue;
      leftWith = state;
      for (const [k, entry] of codaEntries) slot(k, 0)[position] = entry;
      if (position < prompt.length - 1) continue;
      tokens.push(offered.indexOf(Math.max(...offered)));
      exits.push(loop);
      logits.push(offered);
      confidences.push(sure);
    }
  }
  return { tokens, exits, logits, confidences, entries };
}

/** Whether the token that chooses new token `place` leaves behind `loop`, which is not the last. */
function leavesHere(model: SourceModel, leaves: Leaves, loop: number, sure: number, place: number): boolean {
  if (leaves.kind === 'trace') return leaves.exits[place] === loop;
  const after = leaves.after ?? model.exits?.after ?? [];
  return after.includes(loop) && leaves.threshold < 1 && sure >= leaves.threshold;
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
