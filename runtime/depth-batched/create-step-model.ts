import type { PackageManifest } from '../../files/manifest.ts';
import { invariant } from '../../ir/invariant.ts';
import type { GraphSession, HostTensor } from '../session.ts';
import { cachePages } from './cache-pages.ts';
import type { EntryCopy } from './copy-plan.ts';
import { allFinite, numbersOf } from './numbers.ts';
import { growingIntegers, growingStates, type StepInputs, stepInputs } from './step-inputs.ts';
import type { ExitState, StepModel, StepResult, StepShape } from './step-model.ts';

/** What a {@link StepModel} is made of. */
export interface StepModelParts {
  readonly shape: StepShape;
  readonly layers: PackageManifest['cache']['layers'];
  /** step.onnx */
  readonly step: GraphSession;
  /** propagate.onnx, or what opens it when it is first needed. */
  readonly propagate: GraphSession | (() => Promise<GraphSession>);
  /** Pages to hand out, page 0 not counted. */
  readonly pages: number;
  /** The same for prelude and coda; 0 for a model without. */
  readonly boundaryPages: number;
  /** Writes all pages once, now. */
  readonly warm?: boolean;
}

/** Drives a step graph: makes its inputs, keeps its pages. */
export function createStepModel(parts: StepModelParts): StepModel {
  const { shape, layers, step } = parts;
  const boundary = shape.prelude + shape.coda > 0;
  const pageCount = parts.pages + 1;
  const boundaryPageCount = boundary ? parts.boundaryPages + 1 : 0;
  const cache = cachePages(shape, layers, pageCount, boundaryPageCount, parts.warm);
  const graph = step.bind(cache.feeds);
  const makeInputs = stepInputs(shape);
  const names = step.outputs.map(({ name }) => name);
  const allButLogits = names.filter((name) => name !== 'logits');
  const propagation = propagator(parts);
  const finiteEntries = (part: EntryCopy['part'], outputs: Readonly<Record<string, HostTensor>>, row: number) =>
    layers.every((layer, i) => layer.part !== part || finiteRow(outputs[`new_value.${i}`]!, row));
  let last: { readonly inputs: StepInputs; readonly outputs: Readonly<Record<string, HostTensor>> } | undefined;

  return {
    shape,
    pageCount,
    boundaryPageCount,
    pageBytes: cache.bytes,
    run: async (rows, { logits }) => {
      // What the last step returned may go before this one makes as much again.
      last = undefined;
      const inputs = makeInputs(rows);
      const started = performance.now();
      const outputs = await graph.run(inputs.feeds, logits ? names : allButLogits);
      const milliseconds = performance.now() - started;
      last = { inputs, outputs };
      return readResult(
        shape,
        rows.map(({ tokens }) => tokens.length),
        inputs,
        outputs,
        milliseconds,
      );
    },
    write: (writes) => {
      invariant(last !== undefined, 'entries are written behind a step');
      const { inputs, outputs } = last;
      const places = { block: inputs.places, prelude: inputs.entering, coda: inputs.leaving };
      const copies = writes.map((write): EntryCopy => {
        const row = places[write.part][write.row]!;
        // Values that are not finite leave the block, or the model, with their row, where they take fewer looks.
        const finite =
          write.part === 'coda'
            ? finiteEntries('coda', outputs, row)
            : finiteRow(outputs['hidden.out']!, places.block[write.row]!);
        return { ...write, row, finite };
      });
      cache.write(outputs, inputs.tokens, copies);
    },
    propagate: async (states) => {
      if (states.length === 0) return 0;
      const { outputs, milliseconds } = await propagation.run(states);
      const copies = states.map(({ pages, position }, row): EntryCopy => {
        const finite = finiteEntries('block', outputs, row);
        return { part: 'block', row, firstToken: 0, tokens: 1, pages, position, finite };
      });
      cache.write(outputs, 1, copies);
      return milliseconds;
    },
    close: async () => {
      await Promise.all([step.close(), propagation.close()]);
    },
  };
}

/** propagate.onnx, which has its inputs in the order in which tokens are given. */
function propagator({ shape, propagate }: StepModelParts) {
  const states = growingStates(shape.dtype);
  const depths = growingIntegers();
  const positions = growingIntegers();
  let session = typeof propagate === 'function' ? undefined : propagate;
  return {
    run: async (tokens: readonly ExitState[]) => {
      session ??= typeof propagate === 'function' ? await propagate() : propagate;
      const hidden = states(tokens.length, shape.hiddenSize);
      const depth = depths(tokens.length);
      const position_ids = positions(tokens.length);
      for (const [i, token] of tokens.entries()) {
        (hidden.data as Float32Array).set(token.hidden.subarray(0, shape.hiddenSize), i * shape.hiddenSize);
        depth.data[i] = BigInt(token.depth);
        position_ids.data[i] = BigInt(token.position);
      }
      const started = performance.now();
      const outputs = await session.run({ hidden, depth, position_ids });
      return { outputs, milliseconds: performance.now() - started };
    },
    close: async () => session?.close(),
  };
}

/** Whether one entry of the first axis is finite. */
function finiteRow({ data, dims }: HostTensor, row: number): boolean {
  const size = data.length / dims[0]!;
  return allFinite(numbersOf(data), row * size, (row + 1) * size);
}

function readResult(
  { hiddenSize, vocabulary }: StepShape,
  lengths: readonly number[],
  { places, tokens }: StepInputs,
  outputs: Readonly<Record<string, HostTensor>>,
  milliseconds: number,
): StepResult {
  const hidden = numbersOf(outputs['hidden.out']!.data);
  return {
    hidden: (row) => {
      const start = places[row]! * tokens * hiddenSize;
      return hidden.subarray(start, start + lengths[row]! * hiddenSize);
    },
    confidence: outputs.confidence!.data as Float32Array,
    likeliest: Array.from(outputs.next_token!.data as BigInt64Array, Number),
    logits: (head) => (outputs.logits!.data as Float32Array).subarray(head * vocabulary, (head + 1) * vocabulary),
    milliseconds,
  };
}
