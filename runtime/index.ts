/**
 * Runs packages that `rtc compile` wrote, on ONNX Runtime.
 *
 * `loadPackage` and `generate` run a package of any form, for as many prompts as there are:
 *
 * ```ts
 * import { generate, loadPackage } from 'rtc/runtime';
 *
 * const loaded = await loadPackage('kjv-relaxed-depth-batched');
 * if (!loaded.ok) throw new Error(loaded.diagnostics.map((d) => d.message).join('\n'));
 * const { tokenizer } = loaded.value;
 * const prompt = tokenizer?.encode('In the beginning');
 * if (!tokenizer || !prompt) throw new Error('This package has no tokenizer.');
 * const stream = generate(loaded.value, [prompt], { maxNewTokens: 32 });
 * if (!stream.ok) throw new Error(stream.diagnostics.map((d) => d.message).join('\n'));
 * const text = tokenizer.stream(prompt);
 * for await (const { token } of stream.value) process.stdout.write(text.push(token));
 * process.stdout.write(text.end());
 * await loaded.value.close();
 * ```
 *
 * An engine is for servers: it runs a package of the form `depth-batched` in a thread of its own, where requests come
 * and go as they like. All share steps, whatever their depths; each has its own exit rule, sampling and length.
 *
 * ```ts
 * import { openEngine } from 'rtc/runtime';
 *
 * const opened = await openEngine('kjv-relaxed-depth-batched', { maxRows: 16, pageBytes: 512 * 2 ** 20 });
 * if (!opened.ok) throw new Error(opened.diagnostics.map((d) => d.message).join('\n'));
 * const engine = opened.value;
 * const { maxPositions, pageBytes } = engine.limits; // what it takes, and all that it will take for pages
 *
 * const request = engine.submit({
 *   prompt: engine.tokenizer!.encode('In the beginning'),
 *   maxNewTokens: 256,
 *   exit: { kind: 'threshold', threshold: 0.8 },
 *   sampling: { kind: 'sample', temperature: 0.7, seed: 1 },
 * }, { signal: AbortSignal.timeout(10_000) });
 * if (!request.ok) throw new Error(request.diagnostics.map((d) => d.message).join('\n'));
 * for await (const { token, exit } of request.value) {
 *   console.log(token, 'chosen behind loop', exit);
 *   if (token === 46) break; // leaving the loop cancels the request; so does request.value.cancel(), and the signal
 * }
 * const { finished } = await request.value.done; // 'length', 'stop' or 'cancelled'
 * await engine.close();
 * ```
 *
 * @module
 */
export type { Diagnostic, Location, Result } from '../files/diagnostics.ts';
export type { PackageManifest } from '../files/manifest.ts';
export type {
  Batching,
  CoreState,
  KvPolicy,
  RowOrder,
  StepReport,
  TokenEvent,
} from './depth-batched/core.ts';
export type { ExitRule, FinishReason, GenerationRequest } from './depth-batched/request.ts';
export type {
  Engine,
  EngineLimits,
  EngineOptions,
  FinishedRequest,
  RunningRequest,
  SubmitOptions,
} from './engine.ts';
export { openEngine, planEngine } from './engine.ts';
export type { GeneratedSequence, GeneratedToken, Generation, TokenStream } from './generate.ts';
export { generate } from './generate.ts';
export type { GenerateOptions } from './generate-options.ts';
export { checkGeneration } from './generate-options.ts';
export type { LoadedEngine, LoadedGraph, LoadedPackage, LoadOptions } from './load-package.ts';
export { loadPackage } from './load-package.ts';
export type { Sampling } from './sampling.ts';
export type {
  ElementType,
  GraphSession,
  HostTensor,
  SessionOptions,
  TensorData,
  TensorDeclaration,
} from './session.ts';
export { openSession, RuntimeFailure } from './session.ts';
export type { TextStream, TextTokenizer } from './tokenizer.ts';
export { loadTokenizer } from './tokenizer.ts';
