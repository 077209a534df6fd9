import { failure, type Result } from '../../../files/diagnostics.ts';
import type { PackageManifest } from '../../../files/manifest.ts';
import { lowerToOnnx } from '../../../targets/onnx/lower.ts';
import { dialectFor, lowerModel } from '../../lower-model.ts';
import { writePackage } from '../../package/write-package.ts';
import type { SourceModel } from '../../read/source-model.ts';
import { rtcVersion } from '../../version.ts';

/**
 * Writes a package of the form unrolled in float32, weights linked and low-rank factors kept apart: what takes the least
 * disk. As `compile` does, of a model that need not be on the disk as it is.
 */
export async function writeUnrolled(
  model: SourceModel,
  out: string,
  signal?: AbortSignal,
): Promise<Result<{ readonly folder: string; readonly manifest: PackageManifest }>> {
  const options = { model: model.folder, form: 'unrolled', ...(model.lora && { lora: 'keep' as const }) } as const;
  const { name: dialect, spec } = dialectFor(options);
  const lowered = lowerModel(model, 'unrolled', { ...options, ...(signal && { signal }) });
  if (lowered.outcome === 'failed') return failure(...lowered.diagnostics);
  if (lowered.outcome === 'stopped') throw new Error('nobody asked to stop');
  const { graphs, passes } = lowered;
  const version = rtcVersion();
  const onnx = graphs.map(({ file, graph }) =>
    lowerToOnnx(graph, { dialect, spec, fileName: file, version, metadata: {}, materialize: false }),
  );
  return writePackage({
    model,
    onnx,
    layout: 'rtc',
    extra: [],
    out,
    facts: {
      rtc: version,
      form: 'unrolled',
      target: 'onnx',
      dialect,
      precision: { compute: 'f32', weights: 'checkpoint' },
      passes: passes.map((pass) => pass.name),
      loraStrategy: model.lora && 'keep',
      graphs: graphs.map(({ graph }) => graph),
    },
    signal,
  });
}
