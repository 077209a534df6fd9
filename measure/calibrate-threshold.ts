import type { CoreOptions } from '../runtime/depth-batched/core.ts';
import { createCore } from '../runtime/depth-batched/create-core.ts';
import type { StepModel } from '../runtime/depth-batched/step-model.ts';
import type { WorkItem } from './workload.ts';

/** Just below 1, in f32 too: exits are looked at, and (nearly) none is taken. */
const neverQuite = 1 - 2 ** -20;

/** Confidences that are listened to, each time. */
const enough = 300;

/**
 * A threshold that lets tokens of this workload leave after `meanLoops` loops on average, as near as the confidences of
 * its beginning tell. Listens twice: to tokens that never leave, then, since what follows a token that left is another
 * text, to tokens that leave by what was found first.
 * @param model with no sequence on its way
 */
export async function calibrateThreshold(
  model: StepModel,
  workload: readonly WorkItem[],
  options: CoreOptions,
  meanLoops: number,
): Promise<number> {
  const { exits, loops } = model.shape;
  const first = thresholdFor(await listen(model, workload, options, neverQuite), exits, loops, meanLoops);
  return thresholdFor(await listen(model, workload, options, first), exits, loops, meanLoops);
}

/** Confidences behind each exit, of new tokens that got there. */
async function listen(
  model: StepModel,
  workload: readonly WorkItem[],
  options: CoreOptions,
  threshold: number,
): Promise<readonly (readonly number[])[]> {
  const { exits } = model.shape;
  const heard = exits.map((): number[] => []);
  const listening: StepModel = {
    ...model,
    run: async (rows, how) => {
      const result = await model.run(rows, how);
      let head = 0;
      for (const row of rows) {
        for (const _ of row.heads) {
          const exit = exits.indexOf(row.depth + 1);
          // Prompts end behind the last loop, where nothing is decided.
          if (exit >= 0) heard[exit]!.push(result.confidence[head]!);
          head += 1;
        }
      }
      return result;
    },
  };
  const core = createCore(listening, options);
  workload.forEach(({ prompt, newTokens }, i) => {
    const exit = { kind: 'threshold', threshold } as const;
    const taken = core.submit(i, { prompt, maxNewTokens: newTokens, ignoreEos: true, exit });
    if (!taken.ok) throw new Error(taken.diagnostics.map(({ message }) => message).join(' '));
  });
  while ((heard[0]?.length ?? enough) < enough && (await core.step()) !== undefined);
  return heard;
}

/**
 * The threshold at which the mean exit is nearest to the wanted one from below or above, if confidences of one exit say
 * nothing of the next.
 * @param heard confidences behind each exit
 * @param exits loops, ascending
 */
export function thresholdFor(
  heard: readonly (readonly number[])[],
  exits: readonly number[],
  loops: number,
  meanLoops: number,
): number {
  const meanAt = (threshold: number) => {
    let mean = 0;
    let left = 1;
    exits.forEach((loop, i) => {
      const own = heard[i]!;
      const leaves = own.filter((confidence) => confidence >= Math.fround(threshold)).length / Math.max(1, own.length);
      mean += left * leaves * loop;
      left *= 1 - leaves;
    });
    return mean + left * loops;
  };
  const candidates = heard.flat().sort((a, b) => a - b);
  let best = 1;
  let distance = Math.abs(meanAt(1) - meanLoops);
  for (let i = 0; i < candidates.length; i += Math.max(1, Math.floor(candidates.length / 500))) {
    const found = Math.abs(meanAt(candidates[i]!) - meanLoops);
    if (found < distance) [best, distance] = [candidates[i]!, found];
  }
  return best;
}
