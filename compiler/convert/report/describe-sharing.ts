import { plural } from '../../inspect/section.ts';
import type { ConvertDocument } from './convert-document.ts';

/** `22 layers become a block of 11 layers that runs 2 times`. */
export function describeSharing({ model, sharing }: ConvertDocument): string {
  const { order, prelude, block, loops, coda, norms } = sharing;
  const runs = {
    cycle: `a block of ${plural(block, 'layer')} that runs ${loops} times`,
    sequence: `a block of ${plural(block, 'layer')}, each of which runs ${loops} times in a row`,
    listed: `${plural(block, 'layer')} that run in the order ${sharing.layers.join(', ')}`,
  }[order];
  const own = [prelude > 0 ? `${prelude} before it` : '', coda > 0 ? `${coda} behind it` : ''].filter(
    (text) => text !== '',
  );
  return [
    `${plural(model.layers, 'layer')} become ${runs}`,
    ...(own.length === 0 ? [] : [`${own.join(' and ')} of their own`]),
    ...(norms === 'per-depth' ? ['norms of their own at each depth'] : []),
  ].join(', ');
}

/** What the stored layers start as, from 0: `copies of layers 0, 2, 5` or `the means of layers (0, 3), (1, 4), (2, 5)`. */
export function originsText({ sharing: { origins } }: ConvertDocument): string {
  const means = origins.some((layers) => layers.length > 1);
  const list = origins.map((layers) => (layers.length === 1 ? String(layers[0]) : `(${layers.join(', ')})`)).join(', ');
  return `stored layers start as ${means ? 'the means' : 'copies'} of layers ${list}`;
}
