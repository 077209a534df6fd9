import type { LoopSearch } from '../../passes/fold-loop/find-loop.ts';
import { printable } from './printable.ts';
import { plural } from './section.ts';

/** What fold-loop finds in a graph with every loop spelled out, or why it finds nothing. */
export function loopRows(search: LoopSearch): readonly (readonly string[])[] {
  if (!search.found) return [['none', printable(search.reason)]];
  const { loops, prelude, block, coda, layersAre, ops, carried, shared, perDepth, collected, remarks } = search;
  const size = (layers: number, operations: number) =>
    layersAre === 'repetition' || layers === 0
      ? plural(operations, 'operation')
      : `${plural(layers, 'layer')} of ${plural(operations, 'operation')}`;
  const own = kinds.flatMap(([kind, noun]) => {
    const count = perDepth.filter((each) => each.kind === kind).length;
    return count === 0 ? [] : [plural(count, noun)];
  });
  return [
    ...(ops.prelude > 0 ? [['in front', size(prelude, ops.prelude)]] : []),
    ['block', `${size(block, ops.block)}, ${loops} times`],
    ...(ops.coda > 0 ? [['behind', size(coda, ops.coda)]] : []),
    ['carried', printable(carried.map(({ name }) => name).join(', '))],
    ['shared', plural(shared.length, 'weight')],
    ...(own.length > 0 ? [['per depth', own.join(', ')]] : []),
    ['collected', plural(collected.length, 'value')],
    ...remarks.map((remark) => ['remark', printable(remark)]),
  ];
}

const kinds = [
  ['weights', 'weight'],
  ['factors', 'LoRA factor'],
  ['constants', 'constant'],
  ['inputs', 'input'],
  ['values', 'computed value'],
] as const;
