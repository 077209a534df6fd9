import type { Diagnostic, Location } from '../../files/diagnostics.ts';
import { nearest } from '../../files/did-you-mean.ts';
import type { DecoderSpec } from '../architectures/decoder-spec.ts';
import { varyingLayers } from '../architectures/layer-places.ts';
import { depthsOf, type ExpectedTensor, expectedTensors, linearModules } from './expected-tensors.ts';
import type { LoraSpec, Recursion, SourceTensor } from './source-model.ts';
import { told } from './told.ts';

/** Where the user would look. */
export interface TensorPlaces {
  /** How the user would name a weight file, by its path in the model's folder. */
  readonly shown: (path: string) => string;
  /** The weight file or the index: where a missing tensor is told. */
  readonly weights: Location;
  /** The place in model.json that names the target of that index. */
  readonly target: (index: number) => Location;
}

/**
 * Compares the tensors of a checkpoint with those that the model needs: missing and surplus ones, shapes, types, and
 * low-rank factors that do not pair.
 */
export function checkTensors(
  model: {
    readonly spec: DecoderSpec;
    readonly recursion: Recursion;
    readonly lora: LoraSpec | undefined;
    readonly tensors: ReadonlyMap<string, SourceTensor>;
  },
  places: TensorPlaces,
): readonly Diagnostic[] {
  const { shown, weights } = places;
  const { spec, recursion, lora, tensors } = model;
  const expected = expectedTensors(spec, recursion, lora);
  const at = (tensor: SourceTensor): Location => ({ file: shown(tensor.file.path), path: tensor.name });
  const surplus = [...tensors.values()].filter(({ name }) => !expected.has(name) && !isHarmless(name, spec));
  const missing = [...expected.values()].filter(({ name, lora: factor }) => factor === undefined && !tensors.has(name));
  const missingNames = missing.map(({ name }) => name);
  const surplusNames = surplus.map(({ name }) => name);
  const present = [...expected.values()].flatMap((want) => {
    const found = tensors.get(want.name);
    return found === undefined ? [] : [{ want, found }];
  });
  return [
    ...told(missing, 'missing-tensor', weights, ({ name, shape }) => ({
      location: { ...weights, path: name },
      message: `The tensor "${name}" of shape [${shape.join(', ')}] is missing.${suggest(name, surplusNames, 'There is')}`,
    })),
    ...told(surplus, 'surplus-tensor', weights, (tensor) => ({
      location: at(tensor),
      message: surplusMessage(tensor.name, model, missingNames, expected),
    })),
    ...told(
      present.filter(({ want, found }) => !fits(want, found)),
      'wrong-shape',
      weights,
      ({ want, found }) => ({
        location: at(found),
        message: `Tensor "${found.name}" has the shape [${found.shape.join(', ')}]; [${want.shape.join(', ')}] was expected.`,
      }),
    ),
    ...told(
      present.filter(({ found }) => !['f32', 'f16', 'bf16'].includes(found.dtype)),
      'unsupported-dtype',
      weights,
      ({ found }) => ({
        location: at(found),
        message: `Tensor "${found.name}" is of type ${found.dtype.toUpperCase()}; weights of F32, F16 or BF16 were expected.`,
      }),
    ),
    ...checkFactors(present, tensors, at, weights),
    ...checkTargets(lora, present, places),
  ];
}

type Present = readonly { readonly want: ExpectedTensor; readonly found: SourceTensor }[];

/** A and B of a module and depth come together, with one rank. */
function checkFactors(
  present: Present,
  tensors: ReadonlyMap<string, SourceTensor>,
  at: (tensor: SourceTensor) => Location,
  weights: Location,
): readonly Diagnostic[] {
  const factors = present.filter(({ want }) => want.lora !== undefined);
  const alone = factors.filter(({ want }) => !tensors.has(want.lora?.partner ?? ''));
  const disagreeing = factors.flatMap(({ want, found }) => {
    const partner = tensors.get(want.lora?.partner ?? '');
    // Told once a pair, from A's side; a wrong shape was told already.
    if (want.shape[0] !== 'rank' || partner?.shape.length !== 2 || found.shape.length !== 2) return [];
    return found.shape[0] === partner.shape[1] ? [] : [{ found, partner }];
  });
  return [
    ...told(alone, 'unpaired-lora', weights, ({ want, found }) => ({
      location: at(found),
      message: `Tensor "${found.name}" has no partner: "${want.lora?.partner}" is missing.`,
    })),
    ...told(disagreeing, 'lora-rank', weights, ({ found, partner }) => ({
      location: at(found),
      message: `"${found.name}" has rank ${found.shape[0]}, but "${partner.name}" has rank ${partner.shape[1]}.`,
    })),
  ];
}

function checkTargets(lora: LoraSpec | undefined, present: Present, places: TensorPlaces): readonly Diagnostic[] {
  const seen = new Set(present.map(({ want }) => want.lora?.target));
  const unused = (lora?.targets ?? []).flatMap((target, index) => (seen.has(target) ? [] : [{ target, index }]));
  return told(unused, 'missing-lora', places.weights, ({ target, index }) => ({
    location: places.target(index),
    message: `"lora.targets" names "${target}", but no layer of the block has factors for it at any depth.`,
  }));
}

function fits(want: ExpectedTensor, found: SourceTensor): boolean {
  return (
    want.shape.length === found.shape.length &&
    want.shape.every((dim, axis) => (dim === 'rank' ? found.shape[axis]! >= 1 : dim === found.shape[axis]))
  );
}

/** Buffers that older versions of transformers stored, and that newer ones compute; and the head, if it is tied. */
function isHarmless(name: string, spec: DecoderSpec): boolean {
  return (
    /(^|\.)(rotary_emb\.(inv_freq|cos_cached|sin_cached)|attention\.(bias|masked_bias))$/.test(name) ||
    (spec.tiedEmbeddings && name === `${spec.names.head}.weight`)
  );
}

const loraName = /^(?<layer>.+\.(?<index>\d+))\.(?<target>.+)\.lora_(?:A|B)\.(?<adapter>[^.]+)\.weight$/;

/** Says of a tensor that nothing uses what is wrong with it. */
function surplusMessage(
  name: string,
  model: { readonly spec: DecoderSpec; readonly recursion: Recursion; readonly lora: LoraSpec | undefined },
  missing: readonly string[],
  expected: ReadonlyMap<string, ExpectedTensor>,
): string {
  const { spec, recursion, lora } = model;
  const parts = loraName.exec(name)?.groups;
  if (parts === undefined) {
    const layer = new RegExp(`^${spec.names.layers.replaceAll('.', '\\.')}\\.(\\d+)\\.`).exec(name)?.[1];
    if (layer !== undefined && Number(layer) >= spec.storedLayers) {
      return `Nothing uses the tensor "${name}": the config counts ${spec.storedLayers} stored layers, from 0.`;
    }
    const norm = ownNorm(name, spec, recursion);
    if (norm !== undefined) return norm;
    return `Nothing uses the tensor "${name}".${suggest(name, missing.length > 0 ? missing : expected.keys(), 'Expected was')}`;
  }
  const { target = '', adapter = '' } = parts;
  const index = Number(parts.index);
  const found = `The low-rank factor "${name}" is surplus`;
  if (lora === undefined) return `${found}: model.json has no "lora".`;
  if (!lora.targets.includes(target)) return `${found}: "lora.targets" does not name "${target}".`;
  const depths = depthsOf(recursion)(index);
  if (depths === 0) {
    const [first, end] = varyingLayers(recursion);
    return `${found}: layer ${index} is not of the block, which has layers ${first} to ${end - 1}.`;
  }
  const depth = /^depth_(0|[1-9]\d*)$/.exec(adapter)?.[1];
  if (depth === undefined)
    return `${found}: its adapter is "${adapter}"; depth_0 to depth_${depths - 1} were expected.`;
  if (Number(depth) >= depths) {
    const { loops, layers } = recursion;
    const runs =
      loops > 1 && !layers ? `the block runs ${loops} times` : `layer ${index} runs ${plural(depths, 'time')}`;
    return `${found}: its depth is ${depth}, but ${runs}, depths 0 to ${depths - 1}.`;
  }
  return `${found}.${suggest(name, expected.keys(), 'Expected was')}`;
}

/** What is wrong with a norm of one depth; undefined for the name of anything else. */
function ownNorm(name: string, { names }: DecoderSpec, recursion: Recursion): string | undefined {
  const layers = `${names.layers}.`;
  const parts = /^(?<index>\d+)\..+norm\.depth_(?<depth>\d+)\.(weight|bias)$/.exec(name.slice(layers.length))?.groups;
  if (!name.startsWith(layers) || parts === undefined) return undefined;
  const found = `Nothing uses the tensor "${name}"`;
  if (recursion.norms !== 'per-depth') return `${found}: model.json does not set "recursion.norms" to "per-depth".`;
  const depths = depthsOf(recursion)(Number(parts.index));
  if (depths === 0) return `${found}: layer ${parts.index} is not of the block, and has one norm.`;
  return `${found}: layer ${parts.index} runs ${plural(depths, 'time')}, depths 0 to ${depths - 1}.`;
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function suggest(name: string, candidates: Iterable<string>, lead: string): string {
  const near = nearest(name, candidates);
  return near === undefined ? '' : ` ${lead} "${near}".`;
}

/** Targets that are no linear modules of the architecture; told where model.json names them. */
export function unknownTargets(
  spec: DecoderSpec,
  lora: LoraSpec,
): readonly { readonly index: number; readonly known: readonly string[] }[] {
  const known = linearModules(spec).map(({ path }) => path);
  return lora.targets.flatMap((target, index) => (known.includes(target) ? [] : [{ index, known }]));
}
