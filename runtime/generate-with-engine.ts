import { failure, hasErrors, type Result, success } from '../files/diagnostics.ts';
import type { TokenEvent } from './depth-batched/core.ts';
import type { GenerationRequest } from './depth-batched/request.ts';
import type { Engine, RunningRequest } from './engine.ts';
import { defaultNewTokens, exitRule, type GenerateOptions } from './generate-options.ts';
import type { TokenStream } from './generation.ts';
import { RuntimeFailure } from './session.ts';

/**
 * The form `depth-batched`: every prompt is a request to the engine. Steps and rows are those that it ran meanwhile.
 * Fails when the engine could never serve one of them.
 */
export function generateWithEngine(
  engine: Engine,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Result<TokenStream> {
  const requests = prompts.map((prompt, sequence) => requestOf(engine, prompt, sequence, options));
  const problems = requests.flatMap((request, i) => engine.check(request, `Prompt ${i + 1}`));
  return hasErrors(problems) ? failure(...problems) : success(run(engine, requests, options.signal));
}

function requestOf(
  engine: Engine,
  prompt: readonly number[],
  sequence: number,
  options: GenerateOptions,
): GenerationRequest {
  const { sampling, ignoreEos } = options;
  const room = engine.limits.maxPositions - prompt.length + 1;
  const exit = exitRule(options, sequence);
  return {
    prompt,
    maxNewTokens: options.maxNewTokens ?? Math.max(1, Math.min(defaultNewTokens, room)),
    // As in a batch: sequence i of seed s draws what the only one of seed s + i would.
    ...(sampling?.kind === 'sample' ? { sampling: { ...sampling, seed: (sampling.seed ?? 0) + sequence } } : {}),
    ...(exit === undefined ? {} : { exit }),
    ...(ignoreEos === undefined ? {} : { ignoreEos }),
  };
}

async function* run(
  engine: Engine,
  requests: readonly GenerationRequest[],
  signal: AbortSignal | undefined,
): TokenStream {
  signal?.throwIfAborted();
  const started = performance.now();
  let steps = 0;
  let rows = 0;
  const stopCounting = engine.onStep((report) => {
    // Without rows it only told who was cancelled.
    if (report.rows.length > 0) steps += 1;
    rows += report.rows.length;
  });
  const running: RunningRequest[] = [];
  try {
    for (const request of requests) {
      const submitted = engine.submit(request, signal === undefined ? {} : { signal });
      // Checked before: what is left is an engine that ended meanwhile.
      if (!submitted.ok) throw new RuntimeFailure(submitted.diagnostics[0]!);
      running.push(submitted.value);
    }
    for await (const [sequence, { token, exit, finished }] of merged(running)) {
      signal?.throwIfAborted();
      yield { sequence, token, exit, last: finished !== undefined };
    }
    signal?.throwIfAborted();
    const ended = await Promise.all(running.map(({ done }) => done));
    const seconds = (performance.now() - started) / 1000;
    const sequences = ended.map(({ tokens, exits }, i) => ({ prompt: requests[i]!.prompt, tokens, exits }));
    return { sequences, steps, rows, seconds };
  } finally {
    stopCounting();
    for (const request of running) request.cancel();
  }
}

/** Tokens of several requests as they come, each with its request's place. */
async function* merged(requests: readonly RunningRequest[]): AsyncGenerator<readonly [number, TokenEvent]> {
  const queue: (readonly [number, TokenEvent])[] = [];
  let wake = () => {};
  let left = requests.length;
  const read = async (request: RunningRequest, place: number) => {
    try {
      for await (const event of request) {
        queue.push([place, event]);
        wake();
      }
    } finally {
      left -= 1;
      wake();
    }
  };
  const reading = Promise.all(requests.map(read));
  // It is waited for below, when all that came before a failure has been handed on.
  reading.catch(() => {});
  while (left > 0 || queue.length > 0) {
    yield* queue.splice(0);
    if (left > 0 && queue.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  await reading;
}
