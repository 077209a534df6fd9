import type { Graph, LoopOp, Op, Value } from '../../ir/graph.ts';
import { invariant } from '../../ir/invariant.ts';
import type { Additions } from '../additions.ts';

/** What leads from a loop's hidden state to the logits: coda, final norm, head. */
export interface ExitTail {
  readonly loop: LoopOp;
  /** Which of the loop's carried values is the hidden state. */
  readonly hidden: number;
  /** Operations that the logits need and that need the hidden state, in order. */
  readonly ops: readonly Op[];
  readonly logits: Value;
}

/** Finds the tail of a folded graph; undefined when there is no loop. */
export function findExitTail(graph: Graph): ExitTail | undefined {
  const logits = graph.outputs.find(({ name }) => name === 'logits')?.value;
  invariant(logits, 'a graph without an output "logits" has nothing to exit to');
  const needed = upstream(graph.ops, new Set([logits]));
  const loop = graph.ops.findLast((op): op is LoopOp => op.kind === 'loop' && needed.has(op));
  if (!loop) return undefined;
  const results = new Set(loop.results);
  const read = new Set([...needed].flatMap((op) => op.operands).filter((value) => results.has(value)));
  if (results.has(logits)) read.add(logits);
  const [value, ...others] = read;
  const hidden = value ? loop.results.indexOf(value) : -1;
  invariant(
    hidden >= 0 && hidden < loop.attrs.carried && others.length === 0,
    `the logits come from ${[...read].map(({ name }) => `%${name}`).join(', ')}, not from one carried value of the loop`,
  );
  const tail = downstream(graph.ops, new Set([value!]));
  return { loop, hidden, ops: graph.ops.filter((op) => needed.has(op) && tail.has(op)), logits };
}

/** Operations that make `values`, directly or not. */
export function upstream(ops: readonly Op[], values: ReadonlySet<Value>): ReadonlySet<Op> {
  const wanted = new Set(values);
  const found = new Set<Op>();
  for (const op of ops.toReversed()) {
    if (!op.results.some((result) => wanted.has(result))) continue;
    found.add(op);
    for (const value of usedBy(op)) wanted.add(value);
  }
  return found;
}

/** Operations that use `values`, directly or not. */
export function downstream(ops: readonly Op[], values: ReadonlySet<Value>): ReadonlySet<Op> {
  const known = new Set(values);
  const found = new Set<Op>();
  for (const op of ops) {
    if (![...usedBy(op)].some((value) => known.has(value))) continue;
    found.add(op);
    for (const result of op.results) known.add(result);
  }
  return found;
}

function* usedBy(op: Op): Generator<Value> {
  yield* op.operands;
  if (op.kind !== 'loop') return;
  for (const inner of op.body.ops) yield* usedBy(inner);
  yield* op.body.results;
}

/**
 * Copies of operations that are no loops, with new results, in scopes below `scope`. `mapped` says which values to use
 * in place of others, and learns the results. `intercept` may put something else in place of an operation's copy.
 */
export function copyTail(
  ops: readonly Op[],
  add: Additions,
  mapped: Map<Value, Value>,
  scope: string,
  intercept: (copy: Op, original: Op) => readonly Op[] = (copy) => [copy],
): readonly Op[] {
  return ops.flatMap((op) => {
    invariant(op.kind !== 'loop', 'a tail with a loop in it');
    const operands = op.operands.map((value) => mapped.get(value) ?? value);
    const results = op.results.map(({ name, type }) => add.value(name, type));
    op.results.forEach((old, i) => {
      mapped.set(old, results[i]!);
    });
    const copy = { ...op, operands, results, scope: op.scope === '' ? scope : `${scope}/${op.scope}` } as Op;
    return intercept(copy, op);
  });
}
