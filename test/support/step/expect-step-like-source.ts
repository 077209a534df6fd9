import { expect } from 'vitest';
import type { Recursion } from '../../../compiler/read/source-model.ts';
import type { Graph } from '../../../ir/graph.ts';
import { createInterpreter } from '../../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import type { FileWeight } from '../../../ir/weights.ts';
import { insertExitHeads } from '../../../passes/insert-exit-heads.ts';
import { expectClose } from '../expect-close.ts';
import { promptInputs } from '../reference-model.ts';
import { randomSteps } from './random-steps.ts';
import { stepDriver } from './step-driver.ts';

export interface StepCase {
  readonly recursion: Recursion;
  /** What every sequence is run through alone. */
  readonly folded: Graph<'folded'>;
  readonly readWeight: (weight: FileWeight) => Tensor;
  readonly cache?: Map<string, Tensor>;
  /** What is run in steps. */
  readonly graph: Pick<Graph, 'inputs'>;
  readonly run: (inputs: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>;
  readonly groups: number;
  readonly sequences: readonly (readonly number[])[];
  readonly seed: string;
  /** Of all numbers, relative to the largest of their tensor. */
  readonly tolerance: number;
}

/**
 * Runs sequences in steps, at random depths side by side, and fails where logits, hidden states' heads, keys or values of
 * any token, loop and layer differ from what the source graph gives for the sequence alone.
 */
export async function expectStepLikeSource(given: StepCase): Promise<void> {
  const { recursion, folded, sequences, tolerance, readWeight, cache = new Map<string, Tensor>() } = given;
  const { prelude, block, loops, coda } = recursion;
  const driver = stepDriver({ ...given, recursion: boundaries(recursion) });
  // With a coda, whatever leaves early leaves other coda entries behind: only where there is no past is that the same.
  const headAt = ({ from }: { readonly from: number }) => coda === 0 || from === 0;
  for (const rows of randomSteps(
    sequences.map((s) => s.length),
    recursion,
    given,
  ))
    await driver.step(rows, headAt);

  const exits = insertExitHeads({ mode: 'exit-logits', after: Array.from({ length: loops - 1 }, (_, i) => i + 1) });
  const headed = loops === 1 ? folded : exits.run(folded, { note: () => {} });
  const interpreter = createInterpreter(headed, { readWeight, cache });
  for (const [s, tokens] of sequences.entries()) {
    const outputs = await interpreter.run(promptInputs(headed, makeTensor('i64', [1, tokens.length], tokens)));
    const vocabulary = outputs.get('logits')!.shape[2]!;
    for (let depth = 0; depth < loops; depth++) {
      const expected = outputs.get(depth === loops - 1 ? 'logits' : `exit_logits.${depth + 1}`)!;
      driver.tokens[s]!.forEach(({ logits, next, confidence }, position) => {
        const found = logits[depth];
        if (!found) {
          expect(depth, 'the loop of a token without logits').toBeLessThan(loops - 1);
          return;
        }
        const row = Array.from(expected.data.subarray(position * vocabulary, (position + 1) * vocabulary));
        const what = `sequence ${s}, position ${position}, behind loop ${depth + 1}`;
        expectClose(makeTensor('f32', [vocabulary], found), makeTensor('f32', [vocabulary], row), tolerance, what);
        expect(next[depth], `next token of ${what}`).toBe(found.indexOf(Math.max(...found)));
        expect(confidence[depth], `confidence of ${what}`).toBeGreaterThan(0);
      });
    }
    for (let layer = 0; layer < prelude + block + coda; layer++) {
      const inBlock = layer >= prelude && layer < prelude + block;
      for (let depth = 0; depth < (inBlock ? loops : 1); depth++) {
        const running = layer < prelude ? layer : inBlock ? layer + depth * block : layer + block * (loops - 1);
        for (const part of ['key', 'value'] as const) {
          const { dtype, shape, data } = outputs.get(`present.${running}.${part}`)!;
          const what = `${part} of sequence ${s}, layer ${layer}, depth ${depth}`;
          expectClose(driver.cache(part, layer, s, depth), makeTensor(dtype, shape.slice(1), data), tolerance, what);
        }
      }
    }
  }
}

/** How a step runs the layers: a model without loops as one block. */
function boundaries(recursion: Recursion): Recursion {
  const { prelude, block, loops, coda } = recursion;
  return loops > 1 ? recursion : { prelude: 0, block: prelude + block + coda, loops, coda: 0 };
}
