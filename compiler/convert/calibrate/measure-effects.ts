import { type Result, success } from '../../../files/diagnostics.ts';
import { invariant } from '../../../ir/invariant.ts';
import { buildGraph } from '../../architectures/build-graph.ts';
import type { SourceModel } from '../../read/source-model.ts';
import type { EffectOptions, SharingEffect } from '../convert-parts.ts';
import type { PlannedMatrix } from '../stored-tensors.ts';
import { storedFloats } from '../tensor-values.ts';
import { embedTokens } from './embed-tokens.ts';
import { hiddenNames, layerGraph } from './layer-graph.ts';
import { calibrationSettings, readWindows } from './open-calibration.ts';
import { openLayer } from './run-layer.ts';
import type { TextWindows } from './text-windows.ts';

/** Windows that effects are measured on: sums over a thousand tokens are steady, and each matrix runs its layer again. */
const effectWindows = 8;

/**
 * What sharing does to the hidden state, a matrix at a time: each layer of the original runs with what enters it in the
 * original, once as it is and once for each of its matrices with the shared one in place.
 *
 * Singular values say what a matrix loses, not what a model does. A layer adds to a hidden state, which grows from layer
 * to layer: the same loss is much in the first and little in the last, and what is lost of queries passes through a
 * softmax. The change of the hidden state, by its own size, has both.
 *
 * Without a text the tokens are drawn from the vocabulary, always the same ones: the sizes of hidden states depend on
 * the model more than on what it reads.
 * @param matrices of the same layer behind each other; those that lose nothing need not be in it
 * @returns in the order of the matrices
 */
export async function measureEffects(
  model: SourceModel,
  matrices: readonly PlannedMatrix[],
  { text, threads, signal, onProgress }: EffectOptions,
): Promise<Result<readonly SharingEffect[]>> {
  const read = text === undefined ? success(drawnWindows(model)) : await readWindows(model, text);
  if (!read.ok) return read;
  const { count, length, tokens } = someOf(read.value, effectWindows);
  const source = buildGraph(model);
  const hidden = await embedTokens(model, tokens);
  const effects: SharingEffect[] = [];
  const last = Math.max(-1, ...matrices.map(({ layer }) => layer));
  for (let layer = 0; layer <= last; layer++) {
    onProgress?.({ step: 'weigh matrices', detail: `layer ${layer + 1}`, done: layer, total: last + 1 });
    const cut = layerGraph(model, source, layer, { widest: calibrationSettings.widest, besides: 'outputs' });
    const opened = await openLayer(model, cut, { threads });
    if (!opened.ok) return opened;
    const { run, close } = opened.value;
    try {
      const before = hidden.slice();
      const original = await run(before, length);
      const behind = original[hiddenNames.output]!.data as Float32Array;
      const size = squaredNorm(behind);
      for (const { module, rows, cols, shared } of matrices.filter((matrix) => matrix.layer === layer)) {
        signal?.throwIfAborted();
        const names = cut.modules.get(module);
        invariant(names, `no "${module}" in layer ${layer}`);
        const weight = { type: 'f32', dims: [rows, cols], data: await storedFloats(shared) } as const;
        const changed = await run(before, length, { [names.weight]: weight });
        const state = squaredDistance(behind, changed[hiddenNames.output]!.data as Float32Array);
        const [was, is] = [original[names.output]!.data, changed[names.output]!.data];
        const output = squaredDistance(was as Float32Array, is as Float32Array) / (count * length);
        effects.push({ state: size === 0 ? 0 : state / size, output });
      }
      hidden.set(behind);
    } finally {
      await close();
    }
  }
  invariant(effects.length === matrices.length, 'matrices of a layer that the model has not');
  return success(effects);
}

/** Tokens at random, the same ones for the same model size. */
function drawnWindows({ spec }: SourceModel): TextWindows {
  const length = Math.min(calibrationSettings.windowTokens, spec.maxPositions);
  const tokens = new Int32Array(effectWindows * length);
  let state = 1;
  for (let i = 0; i < tokens.length; i++) {
    // Marsaglia's xorshift.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    tokens[i] = (state >>> 0) % spec.vocabSize;
  }
  return { count: effectWindows, length, tokens };
}

/** A few windows, spread over all. */
function someOf({ count, length, tokens }: TextWindows, most: number): TextWindows {
  const few = Math.min(count, most);
  const some = new Int32Array(few * length);
  for (let i = 0; i < few; i++) {
    const from = Math.floor((i * count) / few) * length;
    some.set(tokens.subarray(from, from + length), i * length);
  }
  return { count: few, length, tokens: some };
}

function squaredNorm(x: Float32Array): number {
  let sum = 0;
  for (const value of x) sum += value * value;
  return sum;
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum;
}
