import { z } from 'zod';
import { failure, hasErrors, type Result, success } from '../../files/diagnostics.ts';
import { readJson } from '../../files/json.ts';
import { issueDiagnostics } from '../../files/json-issues.ts';
import { problemsOf } from './problems.ts';

/** What `rtc run --json` prints, as far as a simulation looks at it. */
const traceSchema = z.object({
  sequences: z
    .array(
      z.object({
        prompt: z.array(z.int().min(0)).optional(),
        exits: z.array(z.int().min(1)).min(1),
      }),
    )
    .min(1),
});

/** A sequence of a recorded run. */
export interface TracedSequence {
  readonly promptTokens: number;
  /** Loop behind which each new token was chosen; the first comes from the prompt, which runs all loops. */
  readonly exits: readonly number[];
}

/** Reads where tokens left in a recorded run. */
export async function readTrace(file: string, loops: number): Promise<Result<readonly TracedSequence[]>> {
  const read = await readJson(file, file, { maxBytes: 512 * 2 ** 20, maxDepth: 64 });
  if (!read.ok) return read;
  const parsed = traceSchema.safeParse(read.value.value);
  if (!parsed.success) return failure(...issueDiagnostics(read.value, parsed.error.issues, traceSchema));
  const problems = problemsOf(read.value);
  const { sequences } = parsed.data;
  sequences.forEach(({ exits }, i) => {
    const late = exits.findIndex((exit) => exit > loops);
    if (late < 0) return;
    const message = `A token leaves behind loop ${exits[late]}, but the simulation has ${loops} loops.`;
    problems.add('impossible-exit', ['sequences', i, 'exits', late], message, 'Set "loops" to those of the model.');
  });
  if (hasErrors(problems.all())) return failure(...problems.all());
  return success(sequences.map(({ prompt = [], exits }) => ({ promptTokens: prompt.length, exits })));
}
