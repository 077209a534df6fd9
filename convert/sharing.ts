import { invariant } from '../ir/invariant.ts';

/** The ways to share that have a name. `cycle` is the Relaxed Recursive Transformers', the others Mixture-of-Recursions'. */
export const sharingNames = ['cycle', 'sequence', 'middle-cycle', 'middle-sequence'] as const;
export type SharingName = (typeof sharingNames)[number];

/** Which stored layer each layer of the original becomes, and how a model.json says so. */
export interface SharedLayers {
  /** Layers of the original, which is how many run in the converted model, too. */
  readonly layers: number;
  /** Layers that stay their own, in front of the block and behind it; they have the first and last stored numbers. */
  readonly prelude: number;
  readonly coda: number;
  /** Layers of the block. */
  readonly block: number;
  /**
   * `cycle`: the block runs as a whole `loops` times; `sequence`: each of its layers runs `loops` times in a row;
   * `listed`: as {@link uses} says, which is no order of these (prelude and coda are 0 then).
   */
  readonly order: 'cycle' | 'sequence' | 'listed';
  /** Undefined where the order is `listed`. */
  readonly loops: number | undefined;
  /** By layer of the original. */
  readonly uses: readonly LayerUse[];
}

/** A layer of the original in the converted model. */
export interface LayerUse {
  /** Number of the stored layer that runs there. */
  readonly stored: number;
  /** How often that layer ran before: which factors it has there. Undefined in prelude and coda. */
  readonly depth: number | undefined;
}

/** How many layers are stored. */
export function storedLayers({ prelude, block, coda }: Pick<SharedLayers, 'prelude' | 'block' | 'coda'>): number {
  return prelude + block + coda;
}

/** The numbers of loops, from 2, that `layers` layers can be shared with, ascending. */
export function fittingLoops(layers: number, sharing: SharingName): readonly number[] {
  const shared = layers - ownLayers(sharing);
  return Array.from({ length: Math.max(0, shared - 1) }, (_, i) => i + 2).filter((loops) => shared % loops === 0);
}

/** Shares `layers` layers in one of the ways that have a name. `loops` has to be one of {@link fittingLoops}. */
export function shareLayers(layers: number, loops: number, sharing: SharingName): SharedLayers {
  const own = ownLayers(sharing) / 2;
  const block = (layers - 2 * own) / loops;
  invariant(block >= 1 && Number.isInteger(block), `${layers} layers shared by ${sharing} with ${loops} loops`);
  const order = sharing.endsWith('cycle') ? 'cycle' : 'sequence';
  const uses = Array.from({ length: layers }, (_, layer): LayerUse => {
    const inside = layer - own;
    if (inside < 0) return { stored: layer, depth: undefined };
    if (inside >= block * loops) return { stored: own + block + inside - block * loops, depth: undefined };
    return order === 'cycle'
      ? { stored: own + (inside % block), depth: Math.floor(inside / block) }
      : { stored: own + Math.floor(inside / loops), depth: inside % loops };
  });
  return { layers, prelude: own, block, coda: own, order, loops, uses };
}

/**
 * Shares layers as a list says, which has the stored layer of each: every number from 0 to the largest has to be in it.
 * A list that says what a name says is shared by the name, since compilers do more with a block that has one.
 */
export function shareListedLayers(stored: readonly number[]): SharedLayers {
  const layers = stored.length;
  for (const name of sharingNames) {
    for (const loops of fittingLoops(layers, name)) {
      const named = shareLayers(layers, loops, name);
      if (named.uses.every((use, layer) => use.stored === stored[layer])) return named;
    }
  }
  const counts = new Map<number, number>();
  const uses = stored.map((number): LayerUse => {
    const depth = counts.get(number) ?? 0;
    counts.set(number, depth + 1);
    return { stored: number, depth };
  });
  return { layers, prelude: 0, block: counts.size, coda: 0, order: 'listed', loops: undefined, uses };
}

/** Stored numbers that a list leaves out below its largest. */
export function missingNumbers(stored: readonly number[]): readonly number[] {
  const used = new Set(stored);
  return Array.from({ length: Math.max(...stored) }, (_, i) => i).filter((number) => !used.has(number));
}

/** The layers of the original that become each stored one, in the order in which they run. */
export function layersOf(shared: SharedLayers): readonly (readonly number[])[] {
  return Array.from({ length: storedLayers(shared) }, (_, stored) =>
    shared.uses.flatMap((use, layer) => (use.stored === stored ? [layer] : [])),
  );
}

/** First and last layer stay their own, or none does. */
function ownLayers(sharing: SharingName): number {
  return sharing.startsWith('middle-') ? 2 : 0;
}
