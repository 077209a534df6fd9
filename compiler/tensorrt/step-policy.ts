import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import type { TensorrtFacts } from '../../files/manifest.ts';
import { type ExitShares, sharesOfMean } from '../../simulate/exit-shares.ts';
import type { CompileOptions, Form } from '../compile-options.ts';
import { pagesOf } from '../lower-model.ts';
import type { SourceModel } from '../read/source-model.ts';

/** What all sizes of profiles follow from, as rtc.json has it. */
export type StepPolicy = TensorrtFacts['policy'];

/** Positions of a sequence where nobody says; a model that can do with more rarely has them all in use. */
const usualContext = 4096;

/**
 * The sizes that steps will have: what was asked for, and defaults for the rest. Refused is what the model cannot do:
 * more positions than it knows, exits that it does not have.
 */
export function stepPolicy(model: SourceModel, form: Form, options: CompileOptions): Result<StepPolicy> {
  const { tensorrt = {} } = options;
  const { maxPositions } = model.spec;
  const { maxRows = 16, maxContext = Math.min(maxPositions, usualContext) } = tensorrt;
  const { prefillChunk = Math.min(128, maxContext) } = tensorrt;
  const { groups } = pagesOf(options);
  const problems: Diagnostic[] = [];
  const error = (message: string, hint: string) =>
    problems.push({ severity: 'error', code: 'impossible-policy', message, hint });
  if (maxContext > maxPositions) {
    const message = `A context of ${maxContext} positions is asked for, and the model knows ${maxPositions}.`;
    error(message, `Give --max-context ${maxPositions} or less.`);
  }
  if (prefillChunk > maxContext) {
    const message = `A chunk of ${prefillChunk} prompt tokens does not fit into a context of ${maxContext} positions.`;
    error(message, `Give --prefill-chunk ${maxContext} or less.`);
  }
  if (form === 'depth-batched' && groups > maxRows) {
    error(
      `Rows attend in ${groups} groups, and a step has at most ${maxRows}.`,
      `Give --max-rows ${groups} or more, or fewer --attention-groups.`,
    );
  }
  const exits = exitShares(model, tensorrt);
  problems.push(...exits.diagnostics);
  if (problems.length > 0 || !exits.ok) return failure(...problems);
  return success({
    maxRows,
    smallRows: Math.min(maxRows, Math.max(groups, Math.min(8, Math.ceil(maxRows / 4)))),
    maxContext,
    prefillChunk,
    exits: [...exits.value],
  });
}

/** Share of the tokens that leave behind each loop; without a word on it none leaves early. */
function exitShares(
  { recursion, exits }: SourceModel,
  { exitShares: given, meanLoops }: NonNullable<CompileOptions['tensorrt']>,
): Result<ExitShares> {
  const { loops } = recursion;
  const after = [...(exits?.after ?? []), loops];
  const fail = (message: string, hint: string) =>
    failure({ severity: 'error', code: 'impossible-policy', message, hint });
  const places = after.length === 1 ? `only behind loop ${loops}, the last` : `behind the loops ${after.join(', ')}`;
  if (given !== undefined) {
    if (given.length !== loops) {
      const message = `There ${given.length === 1 ? 'is 1 share' : `are ${given.length} shares`} of exits, and the model has ${loops} loop${loops === 1 ? '' : 's'}.`;
      return fail(message, `Give --exit-shares ${loops === 1 ? 'the number 1' : `${loops} numbers that add up to 1`}.`);
    }
    const none = given.findIndex((share, i) => share > 0 && !after.includes(i + 1));
    if (none >= 0) {
      const message = `A share of ${given[none]} leaves behind loop ${none + 1}, and tokens of this model leave ${places}.`;
      return fail(message, 'Give 0 for loops that have no exit.');
    }
    return success(given);
  }
  if (meanLoops !== undefined) {
    if (meanLoops < after[0]! || meanLoops > loops) {
      const message = `A mean of ${meanLoops} loops is asked for, and tokens of this model leave ${places}.`;
      const range = after[0] === loops ? `${loops}` : `a number from ${after[0]} to ${loops}`;
      return fail(message, `Give --mean-loops ${range}.`);
    }
    return success(rounded(sharesOfMean(meanLoops, loops, exits?.after ?? [])));
  }
  return success(Array.from({ length: loops }, (_, i) => (i === loops - 1 ? 1 : 0)));
}

/** Powers differ by their last bits between machines, and rtc.json must not. What is cut off goes to the last loop. */
function rounded(shares: ExitShares): ExitShares {
  const cut = shares.slice(0, -1).map((share) => Math.round(share * 1e4) / 1e4);
  const left = 1 - cut.reduce((a, b) => a + b, 0);
  return [...cut, Math.max(0, Math.round(left * 1e4) / 1e4)];
}
