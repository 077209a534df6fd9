import { failure, type Result, success } from '../files/diagnostics.ts';
import { generateInBatch } from './generate-in-batch.ts';
import { checkGeneration, type GenerateOptions } from './generate-options.ts';
import { generateWithEngine } from './generate-with-engine.ts';
import type { TokenStream } from './generation.ts';
import type { LoadedPackage } from './load-package.ts';

export type { GeneratedSequence, GeneratedToken, Generation, TokenStream } from './generation.ts';

/**
 * Goes on from several prompts at once. A sequence is what it would be alone. In the forms `unrolled` and `loop` the
 * prompts are one call of the graph and each further token of all is another; in the form `depth-batched` the package's
 * engine runs them, beside whatever else it runs.
 *
 * The result fails when prompts or options do not fit the package (see {@link checkGeneration}). The generator throws a
 * {@link RuntimeFailure} when ONNX Runtime fails, and the signal's reason when it aborts.
 * @param prompts token ids, one list a sequence
 */
export function generate(
  loaded: LoadedPackage,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions = {},
): Result<TokenStream> {
  const problems = checkGeneration(loaded.manifest, prompts, options);
  if (problems.length > 0) return failure(...problems);
  return loaded.engine === undefined
    ? success(generateInBatch(loaded, prompts, options))
    : generateWithEngine(loaded.engine, prompts, options);
}
