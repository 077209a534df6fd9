import { join } from 'node:path';
import { type Diagnostic, failure, hasErrors, type Location, type Result, success } from '../../files/diagnostics.ts';
import { didYouMean } from '../../files/did-you-mean.ts';
import { type JsonDocument, type JsonPath, locationOf, readJson, valueAt } from '../../files/json.ts';
import { type NamedFolder, resolveInside } from '../../files/resolve-inside.ts';
import { runOrder } from '../../files/run-order.ts';
import { storedCount } from '../architectures/layer-places.ts';
import { readDecoderSpec } from '../architectures/read-decoder-spec.ts';
import { checkTensors, unknownTargets } from './check-tensors.ts';
import { checkTiedHead } from './check-tied-head.ts';
import { findCompanions } from './companions.ts';
import { locateModel, nameOfFolder } from './locate-model.ts';
import type { ModelJson } from './model-json.ts';
import { readModelJson, saidRecursion } from './read-model-json.ts';
import { readWeights, type WeightsEntry } from './read-weights.ts';
import type { ExitSpec, LoraSpec, Recursion, SourceModel } from './source-model.ts';

export interface ReadModelOptions {
  /** Stops between files; the promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Reads and checks a model: a model.json, a folder that holds one, or an ordinary Hugging Face folder, which is a model
 * whose block is all its layers and runs once. Weights are not read, only the headers of their files (but for a head
 * that is stored although it is tied: its bytes are compared with the embedding's).
 * @param path as the user named it; diagnostics name files in the same manner
 */
export async function readModel(path: string, options: ReadModelOptions = {}): Promise<Result<SourceModel>> {
  const place = await locateModel(path);
  if (!place.ok) return place;
  const { folder } = place.value;
  options.signal?.throwIfAborted();
  const description = await (place.value.kind === 'model-json'
    ? describe(folder, place.value.file)
    : success(describeHuggingFace(folder, place.value.weights)));
  if (!description.ok) return description;
  return readDescribed(folder, description.value, options);
}

/** What model.json says, or what its absence means. */
interface Description {
  readonly name: string;
  readonly document: JsonDocument | undefined;
  readonly modelJson: string | undefined;
  readonly config: { readonly path: string; readonly where: Location };
  readonly weights: readonly WeightsEntry[];
  /** Undefined: all layers, once. */
  readonly recursion: Recursion | undefined;
  readonly lora: LoraSpec | undefined;
  readonly exits: ExitSpec | undefined;
}

async function describe(folder: NamedFolder, file: string): Promise<Result<Description>> {
  const named = await resolveInside(folder, '.', file, { file: join(folder.shown, file) });
  if (!named.ok) return named;
  const read = await readJson(named.value.absolutePath, named.value.shown);
  if (!read.ok) return read;
  const document = read.value;
  const checked = readModelJson(document);
  if (!checked.ok) return checked;
  const { name, config, weights, recursion, lora, exits } = checked.value;
  return success({
    name: name ?? nameOfFolder(folder.absolutePath),
    document,
    modelJson: named.value.path,
    config: { path: config, where: locationOf(document, ['config']) },
    weights: weights.map((path, i) => ({ path, where: locationOf(document, ['weights', i]) })),
    recursion: recursionOf(recursion),
    lora: lora === undefined ? undefined : { targets: lora.targets, alpha: lora.alpha },
    exits: exits === undefined || exits.after.length === 0 ? undefined : exits,
  });
}

function recursionOf(recursion: ModelJson['recursion']): Recursion {
  const { prelude = 0, block, layers, norms } = recursion;
  const order = runOrder(saidRecursion(recursion));
  // Of a list every layer is of the block; else it is the block that model.json names, however it runs.
  const [first, end] = layers ? [0, storedCount(order)] : [prelude, prelude + block!];
  const same = first === order.prelude && end === storedCount(order) - order.coda;
  return {
    ...order,
    ...(!same && { varying: [first, end] as const }),
    ...(norms === 'per-depth' && { norms }),
  };
}

function describeHuggingFace(folder: NamedFolder, weights: string): Description {
  const where = { file: folder.shown };
  return {
    name: nameOfFolder(folder.absolutePath),
    document: undefined,
    modelJson: undefined,
    config: { path: 'config.json', where },
    weights: [{ path: weights, where }],
    recursion: undefined,
    lora: undefined,
    exits: undefined,
  };
}

async function readDescribed(
  folder: NamedFolder,
  description: Description,
  { signal }: ReadModelOptions,
): Promise<Result<SourceModel>> {
  const problems: Diagnostic[] = [];
  const keep = <T>(result: Result<T>): T | undefined => {
    problems.push(...result.diagnostics);
    return result.ok ? result.value : undefined;
  };
  const configFile = keep(await resolveInside(folder, '.', description.config.path, description.config.where));
  const config = configFile && keep(await readJson(configFile.absolutePath, configFile.shown));
  signal?.throwIfAborted();
  const { files, tensors } = await readWeights(folder, description.weights, problems, signal);
  const readable = !hasErrors(problems);
  const spec = config && keep(readDecoderSpec(config, { dtypeOf: (name) => tensors.get(name)?.dtype }));
  if (config === undefined || configFile === undefined || spec === undefined) return failure(...problems);
  const recursion = description.recursion ?? { prelude: 0, block: spec.storedLayers, loops: 1, coda: 0 };
  problems.push(...checkLayers(description.document, recursion, spec.storedLayers, config));
  const { lora, document } = description;
  if (lora !== undefined && document !== undefined) {
    for (const { index, known } of unknownTargets(spec, lora)) {
      const target = lora.targets[index] ?? '';
      problems.push({
        severity: 'error',
        code: 'unknown-target',
        location: locationOf(document, ['lora', 'targets', index]),
        message: `A ${spec.modelType} layer has no linear module "${target}".${didYouMean(target, known)}`,
        hint: `It has ${known.join(', ')}.`,
      });
    }
  }
  // Weights that could not be read, or layers that do not add up, would make every tensor look wrong.
  if (!readable || hasErrors(problems)) return failure(...problems);
  const shown = (path: string) => join(folder.shown, path);
  const weights: Location = { file: shown(files.length === 1 ? files[0]!.path : description.weights[0]!.path) };
  const target = (index: number) => (document ? locationOf(document, ['lora', 'targets', index]) : weights);
  problems.push(...checkTensors({ spec, recursion, lora, tensors }, { shown, weights, target }));
  if (!hasErrors(problems)) problems.push(...(await checkTiedHead(spec, tensors, shown)));
  const companions = keep(await findCompanions(folder));
  if (hasErrors(problems) || companions === undefined) return failure(...problems);
  return success(
    {
      name: description.name,
      folder: folder.absolutePath,
      modelJson: description.modelJson,
      configPath: configFile.path,
      config: config.value as Readonly<Record<string, unknown>>,
      spec,
      recursion,
      lora,
      exits: description.exits,
      files,
      tensors,
      companions,
    },
    problems,
  );
}

/** Layers that run and layers that are stored have to be the same. */
function checkLayers(
  document: JsonDocument | undefined,
  recursion: Recursion,
  storedLayers: number,
  config: JsonDocument,
): readonly Diagnostic[] {
  const stored = storedCount(recursion);
  if (document === undefined || stored === storedLayers) return [];
  const hint = 'num_hidden_layers counts the layers that are stored, each once.';
  const problem = (path: JsonPath, message: string): readonly Diagnostic[] => [
    { severity: 'error', code: 'impossible-recursion', location: locationOf(document, path), message, hint },
  ];
  const counted = `num_hidden_layers in "${config.file}" is ${storedLayers}`;
  const list = valueAt(document, ['recursion', 'layers']) as readonly number[] | undefined;
  if (list) {
    const beyond = list.findIndex((layer) => layer >= storedLayers);
    if (beyond < 0) {
      const message = `"recursion.layers" runs stored layers 0 to ${stored - 1}, but ${counted}.`;
      return problem(['recursion', 'layers'], message);
    }
    return problem(
      ['recursion', 'layers', beyond],
      `"recursion.layers[${beyond}]" is stored layer ${list[beyond]}, but ${counted}: layers 0 to ${storedLayers - 1}.`,
    );
  }
  const { prelude = 0, block, coda = 0 } = valueAt(document, ['recursion']) as Readonly<Record<string, number>>;
  return problem(['recursion'], `prelude ${prelude} + block ${block} + coda ${coda} is ${stored}, but ${counted}.`);
}
