import { failure, type Result, success } from '../../files/diagnostics.ts';
import { type PackageManifest, propagateGraphName } from '../../files/manifest.ts';
import { propagateGraph } from '../../files/package.ts';
import { concat, slice } from '../../ir/interpret/movement.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import type { SourceModel } from '../read/source-model.ts';
import { cacheKinds } from './cache-entries.ts';
import type { OnRun, OpenDecoder } from './call.ts';
import type { OpenGraph } from './open-decoder.ts';
import { randomStream } from './random-stream.ts';
import { sourceDecoders } from './source-decoder.ts';
import type { Tally } from './tally.ts';
import { estimateTolerance } from './tolerance.ts';

export interface VerifyPropagateOptions {
  readonly open: OpenGraph;
  readonly manifest: PackageManifest;
  readonly model: SourceModel;
  readonly seed: number;
  readonly tally: Tally;
  readonly onRun: OnRun;
  /** Unit roundoff of who runs the package, where it is more than that of the package's precision. */
  readonly roundoff?: number | undefined;
}

/**
 * Compares propagate.onnx, which fills in keys and values of skipped depths, with the model in float64, on random states
 * at every depth. Does nothing for a package without.
 */
export async function verifyPropagate(options: VerifyPropagateOptions): Promise<Result<void>> {
  const { open, manifest, model, tally, onRun, roundoff } = options;
  const file = propagateGraph(manifest);
  const graph = file === undefined ? undefined : manifest.graphs[file];
  if (file === undefined || graph === undefined) return success(undefined);
  onRun(propagateGraphName);
  const opened = await open(file, graph.inputs);
  if (!opened.ok) return failure(...opened.diagnostics);
  const { decoder } = opened.value;
  try {
    const random = randomStream(options.seed);
    const count = 2 * manifest.recursion.loops;
    const hidden = graph.inputs.find(({ name }) => name === 'hidden')!;
    const width = Number(hidden.dims.at(-1));
    const integers = (of: (i: number) => number) =>
      makeTensor(
        'i64',
        [count],
        Float64Array.from({ length: count }, (_, i) => of(i)),
      );
    const feeds = new Map([
      [
        'hidden',
        makeTensor(
          hidden.dtype,
          [count, width],
          Float64Array.from({ length: count * width }, () => Math.fround(4 * random() - 2)),
        ),
      ],
      ['depth', integers((i) => i % manifest.recursion.loops)],
      ['position_ids', integers((i) => (i * 7) % model.spec.maxPositions)],
    ]);
    // The model itself is in float32 or more, whatever the package computes in.
    const states = { ...feeds.get('hidden')!, dtype: 'f32' as const };
    const expected = await sourceDecoders(model)
      .propagate()
      .run(new Map([...feeds, ['hidden', states]]));
    const actual = await runInParts(decoder, feeds, count);
    const tolerance = estimateTolerance(manifest, roundoff);
    for (const { part, layer } of manifest.cache.layers) {
      if (part !== 'block') continue;
      for (const kind of cacheKinds) {
        const name = `new_${kind}.${layer}`;
        const output = `propagated.${layer}.${kind}`;
        tally.add({
          output,
          run: propagateGraphName,
          actual: actual.get(name) ?? makeTensor('f32', [0]),
          expected: expected.get(name)!,
          axes: ['state', 'head', 'dimension'],
          counts: () => true,
          tolerance: tolerance(output),
        });
      }
    }
  } finally {
    await decoder.close();
  }
  return success(undefined);
}

/** Runs so many states; in parts where the decoder takes only some sizes, so that each range of them has its turn. */
async function runInParts(
  decoder: OpenDecoder,
  feeds: ReadonlyMap<string, Tensor>,
  count: number,
): Promise<ReadonlyMap<string, Tensor>> {
  const ranges = decoder.sizes?.().length ?? 0;
  if (ranges === 0) return decoder.run(feeds);
  const parts: ReadonlyMap<string, Tensor>[] = [];
  for (let first = 0; first < count; ) {
    const most = decoder.sizes?.()[0]?.most.n ?? count;
    const part = Math.max(1, Math.min(count - first, most, Math.ceil(count / ranges)));
    parts.push(await decoder.run(new Map([...feeds].map(([name, tensor]) => [name, slice(tensor, 0, first, part)]))));
    first += part;
  }
  const together = (name: string) =>
    concat(
      parts.map((part) => part.get(name)!),
      0,
    );
  return new Map([...parts[0]!.keys()].map((name) => [name, together(name)]));
}
