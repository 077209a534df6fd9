import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { diagonalRoot, type MomentRoot, triangularRoot } from '../../../convert/allot/moment-root.ts';
import type { Matrix } from '../../../convert/matrix.ts';
import { failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { invariant } from '../../../ir/invariant.ts';
import { loadTokenizer } from '../../../runtime/tokenizer.ts';
import { buildGraph } from '../../architectures/build-graph.ts';
import { layerPlaces } from '../../architectures/layer-places.ts';
import type { SourceModel } from '../../read/source-model.ts';
import type { Calibration, CalibrationOptions } from '../convert-parts.ts';
import { workClock } from '../work-clock.ts';
import { embedTokens } from './embed-tokens.ts';
import { layerGraph } from './layer-graph.ts';
import { type InputMoment, runLayer } from './run-layer.ts';
import { storedRoots } from './stored-roots.ts';
import { type TextWindows, textWindows } from './text-windows.ts';
import { weightedFactors } from './weighted-factors.ts';

/** How a text is read, and what becomes of it. Part of what factors depend on. */
export const calibrationSettings = {
  /** Tokens of a window, fewer where the model has fewer positions. */
  windowTokens: 128,
  /** Tokens of all windows, which are spread evenly over longer texts. */
  tokens: 32_768,
  /** Of the mean square of an input, added to the moment's diagonal: what the text has not shown counts that much. */
  regularisation: 1e-3,
  /** Inputs with more numbers are weighted by their squares alone: the moment of 16,384 in float64 takes 2 GB. */
  widest: 8192,
} as const;

/**
 * Reads a text with the model: of every input of a linear module, E[x xᵀ] over its tokens, layer by layer, in the
 * original. Then factors are made that are the best for such inputs.
 *
 * In memory are the hidden states of all tokens, one layer's weights in float32 and its moments; roots of the moments
 * wait in `folder`. A layer whose roots are there already is only run, not measured. The text passes the model once;
 * a layer costs as much again for its moments as for itself, at the sizes that models have.
 *
 * Fails with `missing-tokenizer` and what reading says, with `short-text`, and with what ONNX Runtime says.
 * @param text path of a text file in UTF-8
 */
export async function openCalibration(
  model: SourceModel,
  text: string,
  options: CalibrationOptions,
): Promise<Result<Calibration>> {
  const { decomposing, signal, onProgress, threads, folder, hashes } = options;
  const read = await readWindows(model, text);
  if (!read.ok) return read;
  const windows = read.value;
  const { regularisation, widest } = calibrationSettings;
  const basis = hashOf([
    JSON.stringify({ regularisation, widest, length: windows.length, model: [...hashes].sort(byName) }),
    new Uint8Array(windows.tokens.buffer),
  ]);
  const roots = storedRoots(folder);
  const source = buildGraph(model);
  const layers = layerPlaces(model).length;
  const rootOf = new Map<string, string>();
  const nameOf = (layer: number, input: number) => `root-${hashOf([basis, ` ${layer} ${input}`])}`;

  const measured = new Map<number, boolean>();
  for (let layer = 0; layer < layers; layer++) {
    const { inputs } = layerGraph(model, source, layer, { widest, besides: 'moments' });
    const there = await Promise.all(
      inputs.map((_, i) => roots.read(nameOf(layer, i)).then((root) => root !== undefined)),
    );
    measured.set(layer, there.every(Boolean));
    for (const [i, { modules }] of inputs.entries()) {
      for (const module of modules) rootOf.set(`${layer} ${module}`, nameOf(layer, i));
    }
  }
  const last = Math.max(-1, ...[...measured].flatMap(([layer, done]) => (done ? [] : [layer])));
  const clock = workClock((last + 1) * windows.tokens.length);
  const hidden = last < 0 ? new Float32Array() : await embedTokens(model, windows.tokens);
  for (let layer = 0; layer <= last; layer++) {
    const graph = layerGraph(model, source, layer, { widest, besides: measured.get(layer) ? 'nothing' : 'moments' });
    const step = () => {
      const secondsLeft = clock.secondsLeft();
      const detail = `layer ${layer + 1} of ${layers}`;
      const left = secondsLeft === undefined ? {} : { secondsLeft };
      onProgress?.({ step: 'calibrate', detail, done: layer, total: last + 1, ...left });
    };
    step();
    const onTokens = (tokens: number) => {
      clock.did(tokens);
      step();
    };
    const ran = await runLayer(model, graph, windows, hidden, { threads, signal, onTokens });
    if (!ran.ok) return ran;
    for (const [i, moment] of ran.value.entries()) {
      signal?.throwIfAborted();
      try {
        await roots.write(nameOf(layer, i), await rootOfMoment(moment, decomposing));
      } catch (error) {
        return failure(fileDiagnostic(error, { file: folder }, 'write'));
      }
    }
  }
  return success({
    basis,
    factoriseOf: async ({ layer, module }) => {
      const name = rootOf.get(`${layer} ${module}`);
      invariant(name !== undefined, `no input of "${module}" at layer ${layer}`);
      const root = await roots.read(name);
      invariant(root, `the root of "${module}" at layer ${layer} is gone`);
      return weightedFactors(root, decomposing);
    },
  });
}

/** A calibration text, cut into windows that the model has positions for. */
export async function readWindows(model: SourceModel, text: string): Promise<Result<TextWindows>> {
  const location = { file: text };
  const tokenizer = await loadTokenizer(model.folder);
  if (!tokenizer.ok) return tokenizer;
  if (tokenizer.value === undefined) {
    const message = 'The model has no tokenizer.json, and a text is read with that.';
    const hint = 'Put the tokenizer.json beside config.json, or leave the calibration text out.';
    return failure({ severity: 'error', code: 'missing-tokenizer', location: { file: model.folder }, message, hint });
  }
  let content: string;
  try {
    content = await readFile(text, 'utf8');
  } catch (error) {
    return failure(fileDiagnostic(error, location, 'read'));
  }
  const { windowTokens, tokens } = calibrationSettings;
  const length = Math.min(windowTokens, model.spec.maxPositions);
  const ids = tokenizer.value.encode(content, 'none');
  const most = Math.max(1, Math.floor(tokens / length));
  return textWindows(ids, { length, most, vocabulary: model.spec.vocabSize }, location);
}

function rootOfMoment(
  { size, wide, moment }: InputMoment,
  { product }: Pick<CalibrationOptions['decomposing'], 'product'>,
): Promise<MomentRoot> | MomentRoot {
  const { regularisation } = calibrationSettings;
  if (wide) return diagonalRoot(moment, regularisation);
  return triangularRoot(size, moment, regularisation, (a, b) => product(a, transposed(b)));
}

function transposed({ rows, cols, data }: Matrix): Matrix {
  const turned = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) turned[j * rows + i] = data[i * cols + j]!;
  return { rows: cols, cols: rows, data: turned };
}

function hashOf(pieces: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
