import { layersOf, type SharedLayers } from './sharing.ts';

/** What the layers of the block start as; see {@link initialLayers}. */
export const initialBlocks = ['stepwise', 'average', 'lower', 'upper'] as const;
export type InitialBlock = (typeof initialBlocks)[number];

/**
 * For each stored layer the layers of the original that it starts as the mean of; one: it is a copy.
 *
 * `stepwise`: the first and the last of those that are shared, the others between at equal distances; `average`: the
 * mean of all that it replaces; `lower`, `upper`: the first or the last of those that are shared, as many as the block
 * has. A list names the original of each layer of the block. Layers of prelude and coda stay what they are.
 */
export function initialLayers(
  shared: SharedLayers,
  block: InitialBlock | readonly number[],
): readonly (readonly number[])[] {
  const { layers, prelude, coda } = shared;
  const first = prelude;
  const last = layers - coda - 1;
  const originals = layersOf(shared);
  const inner = originals.slice(prelude, prelude + shared.block);
  return [
    ...originals.slice(0, prelude),
    ...(block === 'average' ? inner : chosen(block, first, last, shared.block).map((layer) => [layer])),
    ...originals.slice(prelude + shared.block),
  ];
}

function chosen(
  block: Exclude<InitialBlock, 'average'> | readonly number[],
  first: number,
  last: number,
  count: number,
): readonly number[] {
  switch (block) {
    case 'stepwise':
      return evenlySpaced(first, last, count).map(roundHalfEven);
    case 'lower':
      return Array.from({ length: count }, (_, i) => first + i);
    case 'upper':
      return Array.from({ length: count }, (_, i) => last - count + 1 + i);
    default:
      return block;
  }
}

/** numpy's linspace, with its roundings: the models that this is compared with were made with it. */
function evenlySpaced(from: number, to: number, count: number): readonly number[] {
  const step = (to - from) / (count - 1);
  return Array.from({ length: count }, (_, i) =>
    i === count - 1 && count > 1 ? to : i === 0 ? from : i * step + from,
  );
}

/** As numpy and Python round: a half goes to the even neighbour. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
