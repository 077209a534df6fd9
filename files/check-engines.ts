import type { Contradiction } from './check-interface.ts';
import type { GraphTensor, PackageManifest } from './manifest.ts';

/** What rtc.json says of engines, against its graphs and against itself; none when all is well. */
export function checkEngines(manifest: PackageManifest): readonly Contradiction[] {
  const { target, dialect, tensorrt, plans = [], graphs, files } = manifest;
  const problems: Contradiction[] = [];
  const report = (message: string, ...path: readonly (string | number)[]) => problems.push({ path, message });
  if (tensorrt === undefined) {
    if (target === 'tensorrt') report('A package for tensorrt says which engines it is meant for.', 'target');
    if (dialect === 'tensorrt' && target === 'onnx')
      report('Graphs of the dialect "tensorrt" are written for engines.', 'dialect');
    if (plans.length > 0) report('There are engines, and no word on what they are.', 'plans');
    return problems;
  }
  const named = new Set<string>();
  for (const [i, { graph, plan, profiles }] of tensorrt.engines.entries()) {
    const at = ['tensorrt', 'engines', i] as const;
    if (named.has(plan)) report(`Two engines are called "${plan}".`, ...at, 'plan');
    named.add(plan);
    const inputs = Object.hasOwn(graphs, graph) ? graphs[graph]!.inputs : undefined;
    if (inputs === undefined) report(`The package has no graph "${graph}".`, ...at, 'graph');
    else {
      profiles.forEach((profile, p) => {
        for (const message of profileAgainst(inputs, profile)) report(message, ...at, 'profiles', p);
      });
    }
  }
  const built = new Set<string>();
  for (const [i, stamp] of plans.entries()) {
    const engine = tensorrt.engines.find(({ plan }) => plan === stamp.file);
    const graph = Object.hasOwn(files, stamp.graph) ? files[stamp.graph] : undefined;
    if (built.has(stamp.file)) report(`The engine "${stamp.file}" is listed twice.`, 'plans', i, 'file');
    built.add(stamp.file);
    if (engine === undefined) report(`No engine is to be called "${stamp.file}".`, 'plans', i, 'file');
    else if (engine.graph !== stamp.graph)
      report(`"${stamp.file}" is built from "${engine.graph}".`, 'plans', i, 'graph');
    else if (graph?.sha256 !== stamp.graphSha256) {
      report(`"${stamp.file}" was built from another "${stamp.graph}".`, 'plans', i, 'graphSha256');
    }
    for (const [file, sha256] of Object.entries(stamp.weights)) {
      const found = Object.hasOwn(files, file) ? files[file] : undefined;
      const at = ['plans', i, 'weights', file] as const;
      if (found === undefined)
        report(`"${stamp.file}" was built from "${file}", which is no file of the package.`, ...at);
      else if (found.sha256 !== undefined && found.sha256 !== sha256)
        report(`"${stamp.file}" was built from another "${file}".`, ...at);
    }
  }
  return problems;
}

type Profile = NonNullable<PackageManifest['tensorrt']>['engines'][number]['profiles'][number];

function profileAgainst(inputs: readonly GraphTensor[], { name, inputs: ranges }: Profile): readonly string[] {
  const problems: string[] = [];
  for (const [input, { min, opt, max }] of Object.entries(ranges)) {
    const tensor = inputs.find((candidate) => candidate.name === input);
    const axes = tensor?.dims.length;
    if (tensor === undefined) problems.push(`Profile "${name}" has sizes of "${input}", which is no input.`);
    else if ([min, opt, max].some((sizes) => sizes.length !== axes))
      problems.push(`Profile "${name}" does not have ${axes} sizes of "${input}".`);
    else if (min.some((least, axis) => least > opt[axis]! || opt[axis]! > max[axis]!))
      problems.push(`Profile "${name}" has sizes of "${input}" that do not rise from min over opt to max.`);
  }
  for (const { name: input, dims } of inputs) {
    if (dims.some((dim) => typeof dim === 'string') && !Object.hasOwn(ranges, input))
      problems.push(`Profile "${name}" does not say how large "${input}" is.`);
  }
  return problems;
}
