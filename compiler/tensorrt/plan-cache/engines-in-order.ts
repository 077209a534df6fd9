import type { PackageManifest, TensorrtFacts } from '../../../files/manifest.ts';

/**
 * The engines of a package as they were planned. rtc.json has the inputs of a profile by name; trtexec is given them in
 * the order of their graph.
 */
export function enginesInOrder({ graphs }: PackageManifest, { engines }: TensorrtFacts): TensorrtFacts['engines'] {
  return engines.map((engine) => {
    const place = new Map(graphs[engine.graph]?.inputs.map(({ name }, i) => [name, i]));
    const placeOf = ([name]: readonly [string, unknown]) => place.get(name) ?? place.size;
    return {
      ...engine,
      profiles: engine.profiles.map(({ name, inputs }) => ({
        name,
        inputs: Object.fromEntries(Object.entries(inputs).sort((a, b) => placeOf(a) - placeOf(b))),
      })),
    };
  });
}
