import { formatType } from '../ir/tensor-type.ts';
import { checkEngines } from './check-engines.ts';
import type { GraphTensor, PackageManifest } from './manifest.ts';
import { cacheCount, cacheLayersOf, type ExpectedTensor, expectedGraphs } from './package-interface.ts';

/** Something that rtc.json says in one place and denies in another. */
export interface Contradiction {
  /** Where in rtc.json. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Every way in which the parts of a manifest do not agree with one another and with its graphs; none when all is well. */
export function checkInterface(manifest: PackageManifest): readonly Contradiction[] {
  const { form, recursion, exits, cache, layout, target } = manifest;
  const problems: Contradiction[] = [];
  const report = (message: string, ...path: readonly (string | number)[]) => problems.push({ path, message });

  const counted = `${recursion.prelude} + ${recursion.block} × ${recursion.loops} + ${recursion.coda}`;
  if (recursion.block < 1 || recursion.loops < 1)
    report(`A model of ${counted} layers has no block that runs.`, 'recursion');
  exits?.after.forEach((loop, i) => {
    if (loop < 1 || loop >= recursion.loops || loop <= (exits.after[i - 1] ?? 0)) {
      const message = `Exits are loops from 1 to ${recursion.loops - 1}, ascending; ${loop} is not.`;
      report(message, 'exits', 'after', i);
    }
  });
  if (form === 'depth-batched') {
    for (const key of ['pageSize', 'groups'] as const) {
      if (cache[key] === undefined) report(`The form "${form}" needs "${key}".`, 'cache');
    }
    if (recursion.loops === 1 && recursion.prelude + recursion.coda > 0) {
      report(`Of a block that runs once, prelude and coda are parts in the form "${form}".`, 'recursion');
    }
  }
  // Counted before they are listed: whatever rtc.json says, it does not say how much memory is taken.
  const count = cacheCount(manifest);
  if (count !== cache.layers.length) {
    const message = `In the form "${form}", ${counted} layers have ${count} caches, and ${cache.layers.length} are listed.`;
    report(message, 'cache', 'layers');
  } else {
    const wrong = cacheLayersOf(manifest).findIndex((layer, i) => !sameLayer(layer, cache.layers[i]!));
    if (wrong >= 0)
      report(`This is not cache ${wrong} of ${counted} layers in the form "${form}".`, 'cache', 'layers', wrong);
  }
  // What graphs should have follows from all that; with it wrong, every tensor would be.
  if (problems.length > 0) return problems;

  const folder = layout === 'huggingface' ? 'onnx/' : target === 'triton' ? `${manifest.source.folder}/` : '';
  for (const [name, expected] of Object.entries(expectedGraphs(manifest))) {
    const file = `${folder}${name}`;
    const graph = Object.hasOwn(manifest.graphs, file) ? manifest.graphs[file]! : undefined;
    if (!graph) {
      report(`A package of the form "${form}" with ${counted} layers has the graph "${file}".`, 'graphs');
      continue;
    }
    for (const side of ['inputs', 'outputs'] as const) {
      for (const problem of compareTensors(expected[side], graph[side], side)) report(problem, 'graphs', file, side);
    }
  }
  // Engines are built from graphs that are as they should be.
  return problems.length > 0 ? problems : checkEngines(manifest);
}

type Layer = PackageManifest['cache']['layers'][number];

function sameLayer(a: Layer, b: Layer): boolean {
  return a.part === b.part && a.layer === b.layer && a.depth === b.depth && a.loops === b.loops;
}

/** The first tensor that is not as expected; surplus inputs, which nobody would give, are problems, too. */
function compareTensors(
  expected: readonly ExpectedTensor[],
  found: readonly GraphTensor[],
  side: 'inputs' | 'outputs',
): readonly string[] {
  const byName = new Map(found.map((tensor) => [tensor.name, tensor]));
  for (const tensor of expected) {
    const own = byName.get(tensor.name);
    const wanted = describe(tensor);
    if (!own)
      return [`There is no ${side.slice(0, -1)} "${tensor.name}" ${wanted}, which the rest of rtc.json calls for.`];
    const fits =
      own.dtype === tensor.dtype &&
      own.dims.length === tensor.dims.length &&
      tensor.dims.every((dim, axis) => dim === undefined || dim === own.dims[axis]);
    if (!fits) return [`"${tensor.name}" is ${formatType(own)}, where the rest of rtc.json calls for ${wanted}.`];
  }
  const names = new Set(expected.map(({ name }) => name));
  const surplus = side === 'inputs' ? found.find(({ name }) => !names.has(name)) : undefined;
  return surplus ? [`There is an input "${surplus.name}", which the rest of rtc.json knows nothing of.`] : [];
}

function describe({ dtype, dims }: ExpectedTensor): string {
  return formatType({ dtype, dims: dims.map((dim) => dim ?? '…') });
}
