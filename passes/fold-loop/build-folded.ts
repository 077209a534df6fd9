import { type GraphBuilder, graphBuilder } from '../../ir/builder.ts';
import type { Graph, Op, OpOf, Value } from '../../ir/graph.ts';
import { invariant } from '../../ir/invariant.ts';
import { copyOps } from '../../ir/rewrite.ts';
import type { WeightExpr } from '../../ir/weights.ts';
import type { Body, Each, Ref } from './body.ts';
import { dependents, type Flow } from './flow.ts';
import { leavingValues } from './leaving.ts';
import { blockScope, loopScope } from './scopes.ts';

/** The graph of `flow` with `body` as a loop: what does not need the loop in front of it, what does behind it. */
export function buildFolded(flow: Flow, body: Body): Graph<'folded'> {
  const { graph } = flow;
  const builder = graphBuilder(graph.name);
  const mapped = new Map<Value, Value>();
  /** All values of the graph that are one value here. */
  const aliases = new Map<number, Value[]>();
  for (const [value, id] of flow.numberOf) {
    const list = aliases.get(id);
    if (list) list.push(value);
    else aliases.set(id, [value]);
  }
  const now = (id: number): Value => {
    const value = mapped.get(flow.values[id]!);
    invariant(value, `"${flow.values[id]!.name}" is used before it is made`);
    return value;
  };
  const become = (id: number, value: Value): void => {
    for (const alias of aliases.get(id)!) mapped.set(alias, value);
  };

  for (const input of graph.inputs) become(flow.numberOf.get(input)!, builder.input(input.name, input.type));
  const stacked = stackedAway(flow, body);
  for (const [id, expr] of flow.weights) {
    if (!stacked.has(id)) become(id, builder.weight(flow.values[id]!.name, expr));
  }

  const inside = new Set(body.nodes.flatMap((node) => node.ops));
  const after = dependents(flow, inside);
  const copy = (when: boolean): void => {
    flow.ops.forEach(({ op, results, scope }, index) => {
      if (inside.has(index) || after[index] !== when || results.every((id) => stacked.has(id))) return;
      copyOps([{ ...op, scope }], builder, mapped);
      results.forEach((id, i) => {
        become(id, mapped.get(op.results[i]!)!);
      });
    });
  };
  copy(false);

  const scopes = body.nodes.map((node) => blockScope(node.ops.map((op) => flow.ops[op]!.scope)));
  const scope = loopScope(scopes.find((text) => loopScope(text) !== '') ?? '');
  const leaving = leavingValues(flow, body);
  const results = builder.inScope(scope, () => {
    const each = body.each.map((entry) => eachOperand(flow, entry, builder, now));
    const carried = body.carried.map(({ values }) => now(values[0]!));
    return builder.loop({ loops: body.loops, carried, each }, (_, states, entries) => {
      const made = new Map<object, readonly Value[]>();
      const resolve = (ref: Ref): Value => {
        if (ref.kind === 'shared') return now(ref.value);
        if (ref.kind === 'each') return entries[body.each.indexOf(ref.each)]!;
        return ref.kind === 'carried' ? states[ref.index]! : made.get(ref.node)![ref.result]!;
      };
      body.nodes.forEach((node, i) => {
        const { op } = flow.ops[node.ops[0]!]!;
        const values = op.results.map(({ name, type }) => ({ name: builder.freshName(name), type }));
        const operands = node.operands.map(resolve);
        builder.adopt({ ...op, operands, results: values, scope: scopes[i]! } as Op);
        made.set(node, values);
      });
      return {
        carried: body.carried.map(({ next }) => resolve(next)),
        collected: leaving.filter(({ collected }) => collected).map((value) => resolve({ kind: 'node', ...value })),
      };
    });
  });

  const collected = results.collected.values();
  for (const { node, result, used, carried, collected: isCollected } of leaving) {
    const stack = isCollected ? collected.next().value : undefined;
    used.forEach((isUsed, depth) => {
      if (!isUsed) return;
      const { scope, results: ids } = flow.ops[node.ops[depth]!]!;
      const id = ids[result]!;
      if (carried !== undefined && depth === body.loops - 1) become(id, results.carried[carried]!);
      else {
        const select = () => builder.add('select', [stack!], { axis: 0, index: depth }, flow.values[id]!.name);
        become(id, builder.inScope(scope, select));
      }
    });
  }
  copy(true);

  graph.outputs.forEach(({ name }, i) => {
    builder.output(name, now(flow.outputs[i]!));
  });
  return builder.finish('folded');
}

/** The weights, constants and entries of which only the loop's stacks are made: they go, the stacks stay. */
function stackedAway(flow: Flow, body: Body): ReadonlySet<number> {
  const inside = new Set(body.nodes.flatMap((node) => node.ops));
  const stacked = new Set<number>();
  for (const { kind, values } of body.each) if (kind !== 'mixed') for (const id of values) stacked.add(id);
  flow.ops.forEach(({ reads }, index) => {
    if (!inside.has(index)) for (const id of reads) stacked.delete(id);
  });
  for (const id of flow.outputs) stacked.delete(id);
  for (const { values } of body.carried) stacked.delete(values[0]!);
  for (const { operands } of body.nodes)
    for (const ref of operands) if (ref.kind === 'shared') stacked.delete(ref.value);
  for (const { kind, values } of body.each) if (kind === 'mixed') for (const id of values) stacked.delete(id);
  return stacked;
}

/** One value with the entries of all depths. */
function eachOperand(flow: Flow, { kind, values }: Each, builder: GraphBuilder, now: (id: number) => Value): Value {
  const name = stackedName(values.map((id) => flow.values[id]!.name));
  switch (kind) {
    case 'weights':
    case 'factors': {
      const of = values.map((id): WeightExpr => flow.weights.get(id)!);
      return builder.weight(name, { kind: 'stack', of });
    }
    case 'constants': {
      const constants = values.map((id) => flow.ops[flow.maker[id]!]!.op as OpOf<'constant'>);
      const { dtype, dims } = constants[0]!.attrs;
      const numbers = constants.flatMap(({ attrs }) => attrs.values);
      return builder.add('constant', [], { dtype, dims: [values.length, ...dims], values: numbers }, name);
    }
    case 'entries':
      return now(flow.ops[flow.maker[values[0]!]!]!.operands[0]!);
    case 'mixed':
      return builder.add('stack', values.map(now), {}, name);
  }
}

/** The names of all depths as one: where a part differs stands `each`. */
function stackedName(names: readonly string[]): string {
  const [first, ...others] = names.map((name) => name.split('.'));
  if (others.some((parts) => parts.length !== first!.length)) return `${names[0]}.each`;
  return first!.map((part, i) => (others.every((parts) => parts[i] === part) ? part : 'each')).join('.');
}
