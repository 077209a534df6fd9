import { type GraphBuilder, inferTypes, type OperandsOf } from '../ir/builder.ts';
import type { Graph, Op, OpOf, Stage, Value } from '../ir/graph.ts';
import { invariant } from '../ir/invariant.ts';
import type { OpKind } from '../ir/op-table.ts';
import { rewriteGraph } from '../ir/rewrite.ts';
import { evaluateConstant } from './fold-constants/evaluate.ts';
import { type Folding, simplifications } from './fold-constants/rules.ts';
import type { PassContext, StablePass } from './pass.ts';

/**
 * Computes what is known, and drops what does nothing.
 *
 * Given: operations on constants; and shapes, casts and arithmetic that cancel out.
 * Result: constants; and whatever the cancelled operations were given. See fold-constants-rules.ts for each.
 * Invariants: a weight is never read, copied or changed: it takes part only as something that a shape operation hands on.
 * Every number stays what it was to the last bit, the sign of a zero included, as long as it is computed as typed.
 * Edge cases: x + 0 stays in floats, where −0 + 0 is 0 (x + −0 goes). An operation whose result its type would have to
 * round stays, casts included: so float64 and typed readers of a graph go on to agree on what is meant. Results beyond
 * 256 elements stay operations. A LoRA update of rank 0 adds nothing and goes.
 */
export const foldConstants: StablePass = {
  name: 'fold-constants',
  numerics: 'exact',
  changesInterface: false,
  run<S extends Stage>(graph: Graph<S>, { note }: PassContext): Graph<S> {
    const makers = new Map<Value, Op>();
    const counts = new Map<OpKind, number>();

    const folded = rewriteGraph(graph, graph.stage, (op, { builder, operands }) => {
      // A loop is copied as it is; rewriteGraph then comes back with what is in its body.
      if (op.kind === 'loop') return undefined;
      const current = { ...op, operands } as Exclude<Op, OpOf<'loop'>>;
      const simpler = simplify(current, folding(builder, makers));
      if (simpler) {
        counts.set(op.kind, (counts.get(op.kind) ?? 0) + 1);
        return [simpler];
      }
      const results = op.results.map(({ name, type }) => ({ name: builder.freshName(name), type }));
      const kept = { ...current, results } as Op;
      builder.adopt(kept);
      for (const result of results) makers.set(result, kept);
      return results;
    });
    for (const [kind, count] of [...counts].sort()) note(`simplified ${count} ${kind}`);
    return folded;
  },
};

function folding(builder: GraphBuilder, makers: Map<Value, Op>): Folding {
  const self: Folding = {
    maker: (value) => makers.get(value),
    madeBy: <K extends OpKind>(kind: K, value: Value) => {
      const op = makers.get(value);
      return op?.kind === kind ? (op as unknown as OpOf<K>) : undefined;
    },
    add(kind, operands, attrs, name) {
      const types = inferTypes(kind, operands, attrs);
      invariant(typeof types !== 'string', `folding makes a ${kind} that ${types}`);
      const wished = { kind, operands, attrs, results: types.map((type) => ({ name, type })), scope: '' };
      const simpler = simplify(wished as unknown as Exclude<Op, OpOf<'loop'>>, self);
      if (simpler) return simpler;
      const value = builder.add(kind, operands as unknown as OperandsOf<typeof kind>, attrs, name);
      makers.set(value, { ...wished, results: [value] } as unknown as Op);
      return value;
    },
  };
  return self;
}

function simplify(op: Exclude<Op, OpOf<'loop'>>, f: Folding): Value | undefined {
  if (op.kind === 'constant' || op.results.length !== 1) return undefined;
  const known = evaluateConstant(op, f);
  if (known) return f.add('constant', [], known, op.results[0]!.name);
  const rule = simplifications[op.kind] as ((op: Op, f: Folding) => Value | undefined) | undefined;
  return rule?.(op, f);
}
