import type { DecoderSpec } from '../architectures/decoder-spec.ts';
import { usesOf, varyingLayers } from '../architectures/layer-places.ts';
import type { LoraSpec, Recursion } from './source-model.ts';

/** A size that a tensor must have, or `rank`: any from 1, the same in the other factor of the pair. */
export type ExpectedDim = number | 'rank';

export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly ExpectedDim[];
  /** Low-rank factors may be absent, a pair at a time; everything else must be there. */
  readonly lora: LoraFactor | undefined;
}

export interface LoraFactor {
  readonly target: string;
  readonly depth: number;
  /** The name of the other factor. */
  readonly partner: string;
}

/** A linear module of a layer: its path inside the layer, and the shape [out, in] of its weight. */
export interface LinearModule {
  readonly path: string;
  readonly out: number;
  readonly in: number;
  readonly bias: boolean;
}

/** The linear modules of every layer, in the order in which they run: what `lora.targets` may name. */
export function linearModules(spec: DecoderSpec): readonly LinearModule[] {
  const { names, biases, hiddenSize, intermediateSize, headDim } = spec;
  const queries = spec.heads * headDim;
  const keys = spec.kvHeads * headDim;
  const linear = (path: string, out: number, from: number, bias: boolean) => ({ path, out, in: from, bias });
  return [
    ...(names.qkv === undefined
      ? [
          linear(names.q, queries, hiddenSize, biases.qkv),
          linear(names.k, keys, hiddenSize, biases.qkv),
          linear(names.v, keys, hiddenSize, biases.qkv),
        ]
      : [linear(names.qkv, queries + 2 * keys, hiddenSize, biases.qkv)]),
    linear(names.output, hiddenSize, queries, biases.output),
    ...(spec.gated ? [linear(names.gate, intermediateSize, hiddenSize, biases.mlp)] : []),
    linear(names.up, intermediateSize, hiddenSize, biases.mlp),
    linear(names.down, hiddenSize, intermediateSize, biases.mlp),
  ];
}

/** Every tensor that a checkpoint has to have, and the low-rank factors that it may have, by name. */
export function expectedTensors(
  spec: DecoderSpec,
  recursion: Recursion,
  lora: LoraSpec | undefined,
): ReadonlyMap<string, ExpectedTensor> {
  const expected = new Map<string, ExpectedTensor>();
  const add = (name: string, shape: readonly ExpectedDim[], factor?: LoraFactor) =>
    expected.set(name, { name, shape, lora: factor });
  const { names, hiddenSize, headDim } = spec;
  const addNorm = (path: string, size: number) => {
    add(`${path}.weight`, [size]);
    if (spec.norm.kind === 'layer') add(`${path}.bias`, [size]);
  };
  add(`${names.embedding}.weight`, [spec.vocabSize, hiddenSize]);
  const modules = linearModules(spec);
  const depths = depthsOf(recursion);
  for (let i = 0; i < spec.storedLayers; i++) {
    const layer = `${names.layers}.${i}`;
    const own = depths(i);
    const addNorms = (path: string, size: number) => {
      if (recursion.norms !== 'per-depth' || own === 0) addNorm(path, size);
      else for (let depth = 0; depth < own; depth++) addNorm(`${path}.depth_${depth}`, size);
    };
    addNorms(`${layer}.${names.inputNorm}`, hiddenSize);
    addNorms(`${layer}.${names.postAttentionNorm}`, hiddenSize);
    if (spec.qkNorm) {
      addNorms(`${layer}.${names.qNorm}`, headDim);
      addNorms(`${layer}.${names.kNorm}`, headDim);
    }
    for (const module of modules) {
      const path = `${layer}.${module.path}`;
      add(`${path}.weight`, [module.out, module.in]);
      if (module.bias) add(`${path}.bias`, [module.out]);
      if (!lora?.targets.includes(module.path)) continue;
      for (let depth = 0; depth < own; depth++) {
        const [a, b] = loraNames(path, depth);
        add(a, ['rank', module.in], { target: module.path, depth, partner: b });
        add(b, [module.out, 'rank'], { target: module.path, depth, partner: a });
      }
    }
  }
  addNorm(names.finalNorm, hiddenSize);
  if (!spec.tiedEmbeddings) add(`${names.head}.weight`, [spec.vocabSize, hiddenSize]);
  if (spec.biases.head) add(`${names.head}.bias`, [spec.vocabSize]);
  return expected;
}

/** How many depths a stored layer has, at each of which it may have factors and norms of its own; 0 outside the block. */
export function depthsOf(recursion: Recursion): (stored: number) => number {
  const uses = usesOf(recursion);
  const [first, end] = varyingLayers(recursion);
  return (stored) => (stored >= first && stored < end ? (uses.get(stored) ?? 0) : 0);
}

/** PEFT's names of the two factors of a module at a depth: A [rank, in] and B [out, rank]. */
export function loraNames(modulePath: string, depth: number): readonly [a: string, b: string] {
  return [`${modulePath}.lora_A.depth_${depth}.weight`, `${modulePath}.lora_B.depth_${depth}.weight`];
}
