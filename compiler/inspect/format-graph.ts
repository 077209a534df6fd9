import { formatBytes } from './format-bytes.ts';
import type { Heading } from './format-inspection.ts';
import { loopRows } from './format-loop.ts';
import { tensorRows } from './format-tensors.ts';
import type { GraphInspection } from './inspection.ts';
import { printable } from './printable.ts';
import { listLines, plural, section } from './section.ts';

export function formatGraph(graph: GraphInspection, heading: Heading): readonly string[] {
  const { weights, operations } = graph;
  const total = operations.reduce((sum, { count }) => sum + count, 0);
  return [
    `${heading(printable(graph.name || 'graph'))}  ${graph.stage} graph, valid`,
    ...section(
      'Graph',
      [
        ['operations', `${plural(total, 'operation')} of ${plural(operations.length, 'kind')}`],
        ['weights', `${plural(weights.count, 'weight')} of ${formatBytes(weights.bytes)}`],
      ],
      heading,
    ),
    ...section('Loop', loopRows(graph.loop), heading),
    ...section(
      'Operations',
      listLines(operations.map(({ operator, count }) => `${count} ${operator}`)).map((line) => [line]),
      heading,
    ),
    ...section('Inputs', tensorRows(graph.inputs), heading),
    ...section('Outputs', tensorRows(graph.outputs), heading),
  ];
}
