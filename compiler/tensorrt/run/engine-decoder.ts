import { join } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import type { GraphTensor } from '../../../files/manifest.ts';
import { makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import { RuntimeFailure } from '../../../runtime/session.ts';
import { type ExportedTensor, readExportedOutputs } from '../../../targets/tensorrt/trtexec/read-exports.ts';
import { liesIn, type OpenDecoder } from '../../verify/call.ts';
import { callEngine, type RunEngine } from './engine-call.ts';
import type { EngineProfile } from './engine-profiles.ts';

export interface EngineDecoderOptions {
  /** File of the graph that the engines were built from, and what it says of its inputs and outputs. */
  readonly graph: {
    readonly file: string;
    readonly inputs: readonly GraphTensor[];
    readonly outputs: readonly GraphTensor[];
  };
  /** Of all engines of the graph; at least one. */
  readonly profiles: readonly EngineProfile[];
  /** Of the package, absolute. */
  readonly folder: string;
  /** An empty folder, where inputs and outputs of a call lie while it runs. */
  readonly scratch: string;
  readonly run: RunEngine;
  /** Hears of every call of trtexec before it is made. */
  readonly onCall?: (profile: EngineProfile) => void;
}

/**
 * An engine as verify runs a graph: each run is one call of trtexec, which loads the engine, makes one inference, and
 * prints the outputs with six digits. Of the profiles that take the sizes of a call, the one that was used least runs it:
 * so all are tried that can be. What fails is thrown as a {@link RuntimeFailure}.
 */
export function engineDecoder(options: EngineDecoderOptions): OpenDecoder {
  const { graph, profiles, folder, scratch, run, onCall } = options;
  const used = profiles.map(() => 0);
  const byUse = (): readonly number[] => [...profiles.keys()].sort((a, b) => used[a]! - used[b]! || a - b);
  return {
    inputs: graph.inputs,
    sizes: () => byUse().map((i) => profiles[i]!.range),
    close: async () => {},
    async run(feeds) {
      const chosen = byUse().find((i) => liesIn(profiles[i]!.range, graph.inputs, feeds));
      if (chosen === undefined) throw new RuntimeFailure(doesNotFit(options, feeds));
      const profile = profiles[chosen]!;
      used[chosen]! += 1;
      onCall?.(profile);
      const call = {
        plan: join(folder, profile.plan),
        profile: profile.number,
        inputs: feeds,
        exportOutput: 'outputs.json',
        iterations: 1,
        warmUp: 0,
        duration: 0,
      };
      const ran = await callEngine(run, scratch, call, async (at) => {
        const exported = await readExportedOutputs(join(at, call.exportOutput));
        return exported.ok ? outputsOf(options, profile, exported.value) : exported;
      });
      if (!ran.ok) throw new RuntimeFailure(ran.diagnostics.find(({ severity }) => severity === 'error')!);
      return ran.value;
    },
  };
}

/** What trtexec printed as tensors of the types that the graph says. */
function outputsOf(
  { graph }: EngineDecoderOptions,
  { plan }: EngineProfile,
  exported: readonly ExportedTensor[],
): Result<ReadonlyMap<string, Tensor>> {
  const outputs = new Map<string, Tensor>();
  for (const { name, dtype } of graph.outputs) {
    const found = exported.find((output) => output.name === name);
    if (found === undefined) return failure(badOutput(plan, `it has no output "${name}"`));
    outputs.set(name, makeTensor(dtype, found.shape, found.values));
  }
  return success(outputs);
}

function badOutput(plan: string, what: string): Diagnostic {
  return {
    severity: 'error',
    code: 'trtexec-failed',
    location: { file: plan },
    message: `trtexec ran "${plan}" and exported something else than was expected: ${what}.`,
    hint: 'Build the engine again; should it stay so, this version of trtexec is one that rtc does not know.',
  };
}

/** Names what keeps a call out of the profile that comes nearest to it. */
function doesNotFit({ graph, profiles }: EngineDecoderOptions, feeds: ReadonlyMap<string, Tensor>): Diagnostic {
  const sizes = new Map(
    graph.inputs.flatMap(({ name, dims }) =>
      dims.flatMap((dim, axis): readonly (readonly [string, number])[] =>
        typeof dim === 'number' ? [] : [[dim, feeds.get(name)?.shape[axis] ?? 0]],
      ),
    ),
  );
  const misses = profiles.map(({ name, range: { least, most } }) => ({
    name,
    dims: [...sizes]
      .filter(([dim, size]) => size < (least[dim] ?? 0) || size > (most[dim] ?? Number.POSITIVE_INFINITY))
      .map(([dim, size]) => `${dim} is ${size} (${least[dim] ?? 0} to ${most[dim]})`),
  }));
  const nearest = misses.reduce((a, b) => (b.dims.length < a.dims.length ? b : a));
  return {
    severity: 'error',
    code: 'no-profile',
    location: { file: graph.file },
    message: `No profile of the engines of "${graph.file}" takes this call; of "${nearest.name}": ${nearest.dims.join(', ')}.`,
    hint: 'Compile with a larger --max-rows, --max-context or --prefill-chunk, or compare with something shorter.',
  };
}
