import type { Graph, LoopOp, Op, Output, Value } from '../../ir/graph.ts';
import { additions } from '../additions.ts';
import { copyTail, findExitTail } from './exit-tail.ts';

/**
 * Adds outputs `exit_logits.{n}`, of the type of `logits`, for the loops in `after` but the last.
 *
 * The hidden state after every loop is collected, and each exit gets a copy of the tail. With a coda that copy attends
 * to keys of its own from the state after n loops: right in a pass without past. In a pass with past, whose cache holds
 * the keys of the last loop, the numbers mean little.
 */
export function exitLogits(
  graph: Graph<'folded'>,
  after: readonly number[],
  note: (message: string) => void,
): Graph<'folded'> {
  const tail = findExitTail(graph);
  if (!tail) {
    note('there is no loop to leave');
    return graph;
  }
  const exits = after.filter((n) => n < tail.loop.attrs.loops);
  if (exits.length === 0) {
    note('there is no exit before the last loop');
    return graph;
  }
  const add = additions(graph);
  const [loop, states] = collectHidden(tail.loop, tail.hidden, add.value);
  const ops: Op[] = graph.ops.map((op) => (op === tail.loop ? loop : op));
  const outputs: Output[] = [...graph.outputs];
  for (const n of exits) {
    const scope = `exit.${n}`;
    const state = add.op('select', [states], { axis: 0, index: n - 1 }, scope, `hidden.after_${n}`);
    const mapped = new Map([[tail.loop.results[tail.hidden]!, state.results[0]!]]);
    ops.push(state, ...copyTail(tail.ops, add, mapped, scope));
    outputs.push({ name: `exit_logits.${n}`, value: mapped.get(tail.logits)! });
  }
  note(`logits after ${exits.length === 1 ? 'loop' : 'loops'} ${exits.join(', ')}`);
  return { ...graph, ops, outputs };
}

/** The loop with its hidden state collected, and the value [loops, ..] of all states. */
function collectHidden(
  loop: LoopOp,
  hidden: number,
  value: (wish: string, type: Value['type']) => Value,
): readonly [LoopOp, Value] {
  const state = loop.body.results[(loop.attrs.stops ? 1 : 0) + hidden]!;
  const { dtype, dims } = state.type;
  const states = value(`${state.name}.each`, { dtype, dims: [loop.attrs.loops, ...dims] });
  const body = { ...loop.body, results: [...loop.body.results, state] };
  return [{ ...loop, results: [...loop.results, states], body }, states];
}
