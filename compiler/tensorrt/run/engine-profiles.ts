import type { GraphTensor, TensorrtFacts } from '../../../files/manifest.ts';
import type { SizeRange, Sizes } from '../../verify/call.ts';

/** A profile of an engine of a graph; a graph may have several engines. */
export interface EngineProfile {
  /** File of the engine in the package. */
  readonly plan: string;
  /** Of the profile in its engine, from 0. */
  readonly number: number;
  readonly name: string;
  /** Sizes of the inputs' dims, by their names. */
  readonly range: SizeRange;
}

type Profile = TensorrtFacts['engines'][number]['profiles'][number];

/** The profiles of all engines of a graph, in the order of rtc.json. */
export function engineProfiles(
  engines: TensorrtFacts['engines'],
  graph: { readonly file: string; readonly inputs: readonly GraphTensor[] },
): readonly EngineProfile[] {
  return engines
    .filter((engine) => engine.graph === graph.file)
    .flatMap(({ plan, profiles }) =>
      profiles.map((profile, number) => ({
        plan,
        number,
        name: profile.name,
        range: { least: sizesAt(profile, graph.inputs, 'min'), most: sizesAt(profile, graph.inputs, 'max') },
      })),
    );
}

function sizesAt({ inputs }: Profile, tensors: readonly GraphTensor[], end: 'min' | 'max'): Sizes {
  const named = tensors.flatMap(({ name, dims }) =>
    dims.flatMap((dim, axis): readonly (readonly [string, number])[] => {
      const size = inputs[name]?.[end][axis];
      return typeof dim === 'number' || size === undefined ? [] : [[dim, size]];
    }),
  );
  // Inputs that share a dim agree on it; should they not, what all of them take is what counts.
  const sizes: Record<string, number> = {};
  for (const [dim, size] of named) {
    sizes[dim] = dim in sizes ? (end === 'min' ? Math.max : Math.min)(sizes[dim]!, size) : size;
  }
  return sizes;
}
