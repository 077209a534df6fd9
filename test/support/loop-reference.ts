import type { Activation } from '../../compiler/architectures/decoder-spec.ts';
import type { Confidence, SourceModel, SourceTensor } from '../../compiler/read/source-model.ts';
import { readTensorSync } from '../../files/read-tensor.ts';
import { erf } from '../../ir/interpret/erf.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';

/**
 * What the loop form has to give, computed for one sequence, loop by loop and token by token, on plain arrays in
 * float64 straight from the checkpoint: no graph, no pass, no batch, no padding. For tests to compare with.
 */
export interface LoopReference {
  /** Runs `tokens` behind what `past` holds. */
  readonly run: (tokens: readonly number[], past: SequenceCache | undefined, options: LeaveOptions) => ReferencePass;
}

export interface LeaveOptions {
  readonly maxLoops: number;
  readonly threshold: number;
  /** The model's own by default. */
  readonly after?: readonly number[];
  readonly confidence?: Confidence;
}

export interface ReferencePass {
  /** By token: over the vocabulary. */
  readonly logits: readonly Vector[];
  /** By token: the loop, 1-based, behind which it left. */
  readonly exitLoops: readonly number[];
  /** By token: the confidence behind every loop that it ran. */
  readonly confidences: readonly (readonly number[])[];
  readonly cache: SequenceCache;
}

/** Keys and values by stored layer, depth (one outside the block) and position. */
export type SequenceCache = readonly (readonly CacheSlot[])[];

export interface CacheSlot {
  /** By position: [kv_heads · head_dim]. */
  readonly keys: readonly Vector[];
  readonly values: readonly Vector[];
}

type Vector = Float64Array;
type MutableSlot = { keys: Vector[]; values: Vector[] };

/** One token on its way. */
interface Token {
  readonly position: number;
  hidden: Vector;
  /** 0 while it is here. */
  left: number;
  logits: Vector;
  readonly confidences: number[];
}

export function loopReference(model: SourceModel): LoopReference {
  const { spec, recursion, lora } = model;
  const { names, headDim, heads, kvHeads } = spec;
  const { prelude, block, loops, coda } = recursion;
  const read = tensorReader(model);

  const linear = (path: string, x: Vector, bias: boolean, prefix = '', depth?: number): Vector => {
    const weight = read(`${prefix}${path}.weight`);
    const y = product(weight.data, x);
    if (bias) addTo(y, read(`${prefix}${path}.bias`).data);
    const down = `${prefix}${path}.lora_A.depth_${depth}.weight`;
    if (depth === undefined || !lora?.targets.includes(path) || !model.tensors.has(down)) return y;
    const a = read(down);
    const scale = lora.alpha === undefined ? 1 : Math.fround(lora.alpha / a.shape[0]!);
    const update = product(read(`${prefix}${path}.lora_B.depth_${depth}.weight`).data, product(a.data, x));
    return addTo(
      y,
      update.map((u) => scale * u),
    );
  };

  const norm = (path: string, x: Vector, prefix = '', depth?: number): Vector => {
    const own = model.recursion.norms === 'per-depth' && depth !== undefined ? `.depth_${depth}` : '';
    const weight = read(`${prefix}${path}${own}.weight`).data;
    const { kind, epsilon, addsOne } = spec.norm;
    const mean = kind === 'layer' ? average(x) : 0;
    const centred = x.map((v) => v - mean);
    const scale = 1 / Math.sqrt(average(centred.map((v) => v * v)) + epsilon);
    const y = centred.map((v, i) => v * scale * (weight[i]! + (addsOne ? 1 : 0)));
    return kind === 'layer' ? addTo(y, read(`${prefix}${path}${own}.bias`).data) : y;
  };

  const rotate = (x: Vector, position: number): Vector => {
    const { dims, inverseFrequencies, attentionFactor } = spec.rotary;
    const half = dims / 2;
    const y = x.slice();
    for (let start = 0; start < x.length; start += headDim) {
      for (let i = 0; i < half; i++) {
        const angle = position * inverseFrequencies[i]!;
        const [cos, sin] = [Math.cos(angle) * attentionFactor, Math.sin(angle) * attentionFactor];
        const [a, b] = [x[start + i]!, x[start + half + i]!];
        y[start + i] = a * cos - b * sin;
        y[start + half + i] = b * cos + a * sin;
      }
    }
    return y;
  };

  const queryKeyValue = (x: Vector, prefix: string, position: number, depth: number | undefined) => {
    const bias = spec.biases.qkv;
    let [q, k, v]: Vector[] = [];
    if (spec.fusedQkv) {
      const rows = linear(names.qkv!, x, bias, prefix, depth);
      const part = (index: number) =>
        joined(heads, (head) => rows.subarray((3 * head + index) * headDim, (3 * head + index + 1) * headDim));
      [q, k, v] = [part(0), part(1), part(2)];
    } else {
      [q, k, v] = [names.q, names.k, names.v].map((path) => linear(path, x, bias, prefix, depth));
    }
    if (spec.qkNorm) {
      const normed = (path: string, rows: Vector) =>
        joined(rows.length / headDim, (head) =>
          norm(path, rows.subarray(head * headDim, (head + 1) * headDim), prefix, depth),
        );
      [q, k] = [normed(names.qNorm, q!), normed(names.kNorm, k!)];
    }
    return { q: rotate(q!, position), k: rotate(k!, position), v: v! };
  };

  const attend = (q: Vector, slot: CacheSlot, position: number, window: number | undefined): Vector =>
    joined(heads, (head) => {
      const kv = Math.floor(head / (heads / kvHeads)) * headDim;
      const first = window === undefined ? 0 : Math.max(0, position - window + 1);
      const places = Array.from({ length: position + 1 - first }, (_, i) => first + i);
      const scores = places.map((at) => {
        let score = 0;
        for (let i = 0; i < headDim; i++) score += q[head * headDim + i]! * slot.keys[at]![kv + i]!;
        return score * spec.attentionScale;
      });
      const weights = softmax(Float64Array.from(scores));
      const y = new Float64Array(headDim);
      places.forEach((at, j) => {
        for (let i = 0; i < headDim; i++) y[i]! += weights[j]! * slot.values[at]![kv + i]!;
      });
      return y;
    });

  const mlp = (x: Vector, prefix: string, depth: number | undefined): Vector => {
    const { mlp: bias } = spec.biases;
    const up = linear(names.up, x, bias, prefix, depth);
    const inner = spec.gated
      ? linear(names.gate, x, bias, prefix, depth).map((g, i) => activate(spec.activation, g) * up[i]!)
      : up.map((u) => activate(spec.activation, u));
    return linear(names.down, inner, bias, prefix, depth);
  };

  /** One layer for all tokens that are still here; `kept` says whence the others take their keys and values. */
  const layer = (
    stored: number,
    depth: number | undefined,
    tokens: readonly Token[],
    states: Vector[],
    slot: MutableSlot,
    kept: (token: Token) => CacheSlot,
  ): void => {
    const prefix = `${names.layers}.${stored}.`;
    const queries: Vector[] = [];
    tokens.forEach((token, t) => {
      const at = token.position;
      if (token.left > 0) {
        slot.keys[at] = kept(token).keys[at]!;
        slot.values[at] = kept(token).values[at]!;
        return;
      }
      const { q, k, v } = queryKeyValue(norm(names.inputNorm, states[t]!, prefix, depth), prefix, at, depth);
      queries[t] = q;
      slot.keys[at] = k;
      slot.values[at] = v;
    });
    tokens.forEach((token, t) => {
      if (token.left > 0) return;
      const x = states[t]!;
      const heard = attend(queries[t]!, slot, token.position, spec.slidingWindows[stored]);
      const attended = linear(names.output, heard, spec.biases.output, prefix, depth);
      const middle = spec.parallelResidual ? x : sum(x, attended);
      const fed = mlp(norm(names.postAttentionNorm, middle, prefix, depth), prefix, depth);
      states[t] = spec.parallelResidual ? sum(x, sum(attended, fed)) : sum(middle, fed);
    });
  };

  return {
    run(ids, past, { maxLoops, threshold, after = model.exits?.after ?? [], confidence = model.exits?.confidence }) {
      const cache: MutableSlot[][] = Array.from({ length: prelude + block + coda }, (_, stored) => {
        const depths = stored >= prelude && stored < prelude + block ? loops : 1;
        return Array.from({ length: depths }, (_, depth) => {
          const old = past?.[stored]?.[depth];
          return { keys: [...(old?.keys ?? [])], values: [...(old?.values ?? [])] };
        });
      });
      const start = past?.[0]?.[0]?.keys.length ?? 0;
      const tokens = ids.map((id, t): Token => {
        const embedded = read(`${names.embedding}.weight`).data.subarray(
          id * spec.hiddenSize,
          (id + 1) * spec.hiddenSize,
        );
        const hidden = embedded.map((v) => v * (spec.embeddingScale ?? 1));
        return { position: start + t, hidden, left: 0, logits: new Float64Array(0), confidences: [] };
      });
      const nobody = (): never => {
        throw new Error('a token left before the loop');
      };

      const states = tokens.map(({ hidden }) => hidden);
      for (let i = 0; i < prelude; i++) layer(i, undefined, tokens, states, cache[i]![0]!, nobody);
      const last = Math.min(Math.max(maxLoops, 1), loops);
      for (let n = 1; n <= last && tokens.some(({ left }) => left === 0); n++) {
        for (let k = prelude; k < prelude + block; k++) {
          const slots = cache[k]!;
          layer(k, n - 1, tokens, states, slots[n - 1]!, ({ left }) => slots[left - 1]!);
        }
        // The coda is tried on everybody who is still here; those who left keep what they wrote into its caches.
        const tried = [...states];
        for (let k = prelude + block; k < prelude + block + coda; k++) {
          layer(k, undefined, tokens, tried, cache[k]![0]!, () => cache[k]![0]!);
        }
        const leaving = tokens.filter((token, t) => {
          if (token.left > 0) return false;
          const normed = norm(names.finalNorm, tried[t]!);
          const head = spec.tiedEmbeddings ? names.embedding : names.head;
          token.logits = product(read(`${head}.weight`).data, normed);
          if (spec.biases.head) addTo(token.logits, read(`${names.head}.bias`).data);
          const sure = confidenceOf(confidence ?? 'top1', token.logits);
          token.confidences.push(sure);
          return n === last || (after.includes(n) && threshold < 1 && sure >= threshold);
        });
        for (const token of leaving) token.left = n;
      }
      for (const slots of cache.slice(prelude, prelude + block)) {
        for (const { position, left } of tokens) {
          for (let depth = left; depth < loops; depth++) {
            slots[depth]!.keys[position] = slots[left - 1]!.keys[position]!;
            slots[depth]!.values[position] = slots[left - 1]!.values[position]!;
          }
        }
      }
      return {
        logits: tokens.map(({ logits }) => logits),
        exitLoops: tokens.map(({ left }) => left),
        confidences: tokens.map(({ confidences }) => confidences),
        cache,
      };
    },
  };
}

export function confidenceOf(kind: Confidence, logits: Vector): number {
  const probabilities = softmax(logits);
  const sorted = probabilities.toSorted().reverse();
  if (kind === 'top1') return sorted[0]!;
  if (kind === 'margin') return sorted[0]! - sorted[1]!;
  const entropy = probabilities.reduce((total, p) => total - (p === 0 ? 0 : p * Math.log(p)), 0);
  return 1 - entropy / Math.log(logits.length);
}

interface ReadTensor {
  readonly shape: readonly number[];
  readonly data: Vector;
}

function tensorReader(model: SourceModel): (name: string) => ReadTensor {
  const known = new Map<string, ReadTensor>();
  const load = ({ file, dtype, shape, ...range }: SourceTensor): ReadTensor => ({
    shape,
    data: Float64Array.from(decodeTensor(dtype, readTensorSync(file.absolutePath, range))),
  });
  return (name) => {
    const entry = model.tensors.get(name);
    if (!entry) throw new Error(`the checkpoint has no ${name}`);
    const tensor = known.get(name) ?? load(entry);
    known.set(name, tensor);
    return tensor;
  };
}

function product(weight: Vector, x: Vector): Vector {
  const y = new Float64Array(weight.length / x.length);
  for (let row = 0; row < y.length; row++) {
    let total = 0;
    for (let i = 0; i < x.length; i++) total += weight[row * x.length + i]! * x[i]!;
    y[row] = total;
  }
  return y;
}

function addTo(y: Vector, x: Vector): Vector {
  for (let i = 0; i < y.length; i++) y[i]! += x[i]!;
  return y;
}

function sum(a: Vector, b: Vector): Vector {
  return addTo(a.slice(), b);
}

function average(x: Vector): number {
  return x.reduce((total, v) => total + v, 0) / x.length;
}

function joined(count: number, part: (index: number) => Vector): Vector {
  const parts = Array.from({ length: count }, (_, i) => part(i));
  return Float64Array.from(parts.flatMap((p) => Array.from(p)));
}

function softmax(x: Vector): Vector {
  const largest = x.reduce((a, b) => Math.max(a, b));
  const powers = x.map((v) => Math.exp(v - largest));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / total);
}

function activate(kind: Activation, x: number): number {
  switch (kind) {
    case 'silu':
      return x / (1 + Math.exp(-x));
    case 'relu':
      return Math.max(0, x);
    case 'gelu':
      return (x * (1 + erf(x / Math.SQRT2))) / 2;
    case 'gelu_tanh':
      return (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2;
    case 'quick_gelu':
      return x / (1 + Math.exp(-1.702 * x));
  }
}
