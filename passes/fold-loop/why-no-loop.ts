import { type Body, weightElements } from './body.ts';
import { dependents, type Flow } from './flow.ts';
import type { Miss } from './miss.ts';

/** Why a body that matches at every depth is no loop all the same; undefined when it is one. */
export function whyNoLoop(flow: Flow, body: Body): Miss | undefined {
  return independent(flow, body) ?? mostlyShared(flow, body);
}

/** A miss when something that must come from outside the loop is computed in it. */
function independent(flow: Flow, body: Body): Miss | undefined {
  const inside = new Set(body.nodes.flatMap((node) => node.ops));
  const after = dependents(flow, inside);
  const outer = [
    ...body.nodes.flatMap((node) => node.operands.flatMap((ref) => (ref.kind === 'shared' ? [ref.value] : []))),
    ...body.each.flatMap(({ values }) => values),
    ...body.carried.map(({ values }) => values[0]!),
  ];
  const inner = outer.find((value) => inside.has(flow.maker[value]!) || after[flow.maker[value]!]);
  if (inner === undefined) return undefined;
  return { depth: 1, message: `"${flow.values[inner]!.name}", made at one depth, is read at others` };
}

/** A miss when depths have more of their own than they share: layers that look alike, not one layer. */
function mostlyShared(flow: Flow, body: Body): Miss | undefined {
  const shared = body.saved / (body.loops - 1);
  let own = 0;
  for (const { kind, values } of body.each) if (kind !== 'factors') own += weightElements(flow, values[0]!);
  if (shared > own) return undefined;
  const percent = Math.floor((100 * shared) / Math.max(shared + own, 1));
  return { depth: 1, message: `depths share only ${percent} % of the weights in the block` };
}
