/**
 * Runs packages that `rtc compile` wrote, on ONNX Runtime.
 *
 * ```ts
 * import { generate, loadPackage } from 'rtc/runtime';
 *
 * const loaded = await loadPackage('kjv-relaxed-unrolled');
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
 * @module
 */
export type { Diagnostic, Location, Result } from '../files/diagnostics.ts';
export type { PackageManifest } from '../files/manifest.ts';
export type { GeneratedSequence, GeneratedToken, Generation, TokenStream } from './generate.ts';
export { generate } from './generate.ts';
export type { GenerateOptions } from './generate-options.ts';
export { checkGeneration } from './generate-options.ts';
export type { LoadedPackage } from './load-package.ts';
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
