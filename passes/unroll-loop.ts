import { type GraphBuilder, graphBuilder } from '../ir/builder.ts';
import { allOps, type Graph, type LoopOp, type Op, type Value } from '../ir/graph.ts';
import { invariant } from '../ir/invariant.ts';
import { copyOps } from '../ir/rewrite.ts';
import { sameDims } from '../ir/tensor-type.ts';
import { fileWeights, type WeightExpr, weightType } from '../ir/weights.ts';
import { depthScope } from './fold-loop/scopes.ts';
import type { Pass } from './pass.ts';
import { type PartsOf, partsOf, unrolls } from './unroll-loop/parts.ts';
import { unpaddedFactors } from './unroll-loop/unpadded-factors.ts';

/**
 * Writes a loop out, depth after depth: the inverse of fold-loop.
 *
 * Given
 * ```
 * %past = stack %past.0, %past.1
 * %h, %presents = loop %h.0, stack(%lora.0, %lora.1), %past { … }
 * %present.0 = select %presents {axis=0, index=0}
 * ```
 * Result: the body at depth 0 on `%h.0`, `%lora.0` and `%past.0`, then at depth 1 on what depth 0 has left; users of
 * `%present.0` use the value of the body itself.
 *
 * Invariants: names and types of inputs and outputs stay; shared weights are used as often as there are depths and are
 * one weight each; the scope `block` becomes `depth.{d}`. What is stacked (values, weights, constants) and used only
 * depth by depth is not stacked any more: a select of a stack is the entry itself.
 *
 * Edge cases: a LoRA factor that stacking has filled up with zeros has its own rank again if only `low_rank` uses it; an
 * update of rank 0 stays as an operation (merge-lora and clean-up drop it). A stack that something uses as a whole is
 * kept, too. The depth, if the body reads it, becomes a constant. A loop that can stop early or is limited has no fixed
 * number of depths: it stays, and the note says so. Loops in a body unroll with it.
 */
export const unrollLoop: Pass<'folded', 'unrolled'> = {
  name: 'unroll-loop',
  numerics: 'exact',
  changesInterface: false,
  run: (graph, { note }) => {
    for (const op of allOps(graph)) {
      if (op.kind !== 'loop') continue;
      const why = op.attrs.stops ? 'can stop early' : 'runs a number of depths that is computed';
      note(unrolls(op) ? `A loop of ${op.attrs.loops} depths is written out.` : `A loop that ${why} stays.`);
    }
    return unrolled(graph);
  },
};

function unrolled(graph: Graph): Graph<'unrolled'> {
  const builder = graphBuilder(graph.name);
  const known = partsOf(graph);
  const exprs = new Map(graph.weights.map(({ value, expr }) => [value, expr]));
  const mapped = new Map<Value, Value>();
  for (const input of graph.inputs) mapped.set(input, builder.input(input.name, input.type));
  for (const { value, expr } of graph.weights) {
    if (!known.onlyParts(value) || !known.parts(value)) mapped.set(value, builder.weight(value.name, expr));
  }
  const writer = { builder, known, exprs, mapped, collected: new Map() };
  writeOps(writer, graph.ops, (scope) => scope);
  for (const { name, value } of graph.outputs) builder.output(name, now(writer, value));
  return builder.finish('unrolled');
}

interface Writer {
  readonly builder: GraphBuilder;
  readonly known: PartsOf;
  readonly exprs: ReadonlyMap<Value, WeightExpr>;
  /** What stands for a value of the given graph by now: in a body, at this depth. */
  readonly mapped: Map<Value, Value>;
  /** The values that an unrolled loop has collected, by depth. */
  readonly collected: Map<Value, readonly Value[]>;
}

type Rename = (scope: string) => string;

function now({ mapped }: Writer, value: Value): Value {
  const found = mapped.get(value);
  invariant(found, `"${value.name}" is used before it is made`);
  return found;
}

function writeOps(writer: Writer, ops: readonly Op[], rename: Rename): void {
  const { builder, known, mapped } = writer;
  for (const op of ops) {
    const scope = rename(op.scope);
    if (op.kind === 'loop') {
      if (unrolls(op)) writeDepths(writer, op, rename);
      else writeLoop(writer, op, rename);
    } else if (op.kind === 'select' && op.attrs.axis === 0 && isApart(writer, op.operands[0]!)) {
      const [from] = op.operands;
      const part = builder.inScope(scope, () => entry(writer, from!, op.attrs.index, false, op.results[0]!.name));
      mapped.set(op.results[0]!, part);
    } else if (!known.parts(op.results[0]!) || !known.onlyParts(op.results[0]!)) {
      copyOps([{ ...op, scope }], builder, mapped);
    }
  }
}

/** A loop that stays: its body is written as any other operations. */
function writeLoop(writer: Writer, op: LoopOp, rename: Rename): void {
  const { builder, mapped } = writer;
  const operands = op.operands.map((value) => now(writer, value));
  const copies = (values: readonly Value[]) =>
    values.map((value) => {
      const copy = { name: builder.freshName(value.name), type: value.type };
      mapped.set(value, copy);
      return copy;
    });
  const body = builder.region(copies(op.body.parameters), () => {
    writeOps(writer, op.body.ops, rename);
    return op.body.results.map((value) => now(writer, value));
  });
  builder.adopt({ ...op, operands, results: copies(op.results), body, scope: rename(op.scope) });
}

function writeDepths(writer: Writer, op: LoopOp, rename: Rename): void {
  const { builder, known, mapped, collected } = writer;
  const { loops, carried, each } = op.attrs;
  const [depthParameter, ...parameters] = op.body.parameters;
  const readsDepth = usesOf(op, depthParameter!);
  const unpadded = unpaddedFactors(op, writer.exprs);
  const lists = op.results.slice(carried).map((): Value[] => []);
  let states = op.operands.slice(0, carried).map((value) => now(writer, value));
  for (let depth = 0; depth < loops; depth++) {
    const inDepth: Rename = (scope) => depthScope(rename(scope), depth);
    builder.inScope(inDepth(op.scope), () => {
      if (readsDepth) mapped.set(depthParameter!, builder.constant('i64', depth));
      parameters.forEach((parameter, i) => {
        if (i < carried) mapped.set(parameter, states[i]!);
        else if (i < carried + each) {
          const from = op.operands[i]!;
          mapped.set(parameter, entry(writer, from, depth, unpadded.has(parameter), `${from.name}.${depth}`));
        }
      });
    });
    writeOps(writer, op.body.ops, inDepth);
    const results = op.body.results.map((value) => now(writer, value));
    states = results.slice(0, carried);
    results.slice(carried).forEach((value, i) => {
      lists[i]!.push(value);
    });
  }
  op.results.slice(0, carried).forEach((result, i) => {
    mapped.set(result, states[i]!);
  });
  op.results.slice(carried).forEach((result, i) => {
    collected.set(result, lists[i]!);
    if (!known.isWhole(result)) return;
    mapped.set(
      result,
      builder.inScope(rename(op.scope), () => builder.add('stack', lists[i]!, {}, result.name)),
    );
  });
}

function usesOf(loop: LoopOp, value: Value): boolean {
  if (loop.body.results.includes(value)) return true;
  for (const op of allOps(loop.body)) {
    if (op.operands.includes(value) || (op.kind === 'loop' && op.body.results.includes(value))) return true;
  }
  return false;
}

function isApart({ known, collected }: Writer, value: Value): boolean {
  return collected.has(value) || known.parts(value) !== undefined;
}

/** Entry `index` of the first axis of a value. `unpad`: without the zeros that stacking has added. */
function entry(writer: Writer, from: Value, index: number, unpad: boolean, name: string): Value {
  const { builder, known, collected } = writer;
  const values = collected.get(from);
  if (values) return values[index]!;
  const parts = known.parts(from);
  const select = () => builder.add('select', [now(writer, from)], { axis: 0, index }, name);
  switch (parts?.kind) {
    case 'values':
      return now(writer, parts.values[index]!);
    case 'constants': {
      const { dtype, values: numbers } = parts.of;
      const dims = parts.of.dims.slice(1);
      const size = dims.reduce((count, dim) => count * dim, 1);
      return builder.constant(dtype, numbers.slice(index * size, (index + 1) * size), dims);
    }
    case 'weights': {
      const expr = parts.of[index]!;
      if (!unpad && !sameDims(weightType(expr).dims, from.type.dims.slice(1))) return select();
      const files = fileWeights(expr);
      return builder.weight(files.length === 1 ? files[0]!.tensor : name, expr);
    }
    case undefined:
      return select();
  }
}
