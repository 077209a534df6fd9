import { type Dim, subtractDims } from '../../ir/dims.ts';
import type { Graph, LoopOp, Op, OpOf, Value } from '../../ir/graph.ts';
import { invariant } from '../../ir/invariant.ts';
import { type TensorType, tensor } from '../../ir/tensor-type.ts';
import { type Additions, additions } from '../additions.ts';
import { addConfidence, type Confidence } from './confidence.ts';
import { copyTail, downstream, type ExitTail, findExitTail } from './exit-tail.ts';
import { type CarriedPart, type LoopParts, loopFromParts, partsOfLoop } from './loop-parts.ts';

export interface ExitsInLoopOptions {
  readonly after: readonly number[];
  readonly confidence: Confidence;
}

/**
 * Gives a folded graph the contract of the loop form: inputs `max_loops` i64 [] and `exit_threshold` f32 [], output
 * `exit_loop` i64 [batch, sequence].
 *
 * Given: a loop that carries the hidden state, is given a cache per layer as `concat(past of this depth, new)`, and
 * collects it; the tail follows.
 * Result: a token leaves behind the first loop in `after` whose confidence reaches the threshold, if that is below 1,
 * else behind loop `max_loops`, clamped to 1 … loops. From then its hidden state stays, and so do the keys and values
 * that it adds to every cache, at each deeper loop those of the loop that it left behind; others attend to these. The
 * loop stops when every token that `attention_mask` does not hide has left.
 * Of the caches only the new entries are collected, and joined with the past outside: a depth that did not run has a
 * past of its own, and gets the entries of the last that ran.
 * The tail moves into the body, once for confidence and logits. Where it has a coda, the coda's new keys and values and
 * its output stay too once a token has left.
 * Invariants: what one row gives does not depend on the others. Nothing reads what a hidden (padding) token leaves.
 * Edge cases: no exits: tail and confidence stay out of the body, and `exit_loop` is the clamped `max_loops`. No loop:
 * `exit_loop` is 1. Exits behind some loops only: the head still runs in every loop, and a flag per depth decides.
 */
export function exitsInLoop(
  graph: Graph<'folded'>,
  { after, confidence }: ExitsInLoopOptions,
  note: (message: string) => void,
): Graph<'folded'> {
  const add = additions(graph);
  const maxLoops = add.value('max_loops', tensor('i64', []));
  const threshold = add.value('exit_threshold', tensor('f32', []));
  const inputs = [...graph.inputs, maxLoops, threshold];
  const tokens = inputOf(graph, 'input_ids').type.dims;
  const tail = findExitTail(graph);
  if (!tail) {
    note('there is no loop: every token leaves behind loop 1');
    const one = add.op('constant', [], { dtype: 'i64', dims: [], values: [1] }, 'exit', 'one');
    const loop = add.op('expand', [one.results[0]!], { dims: tokens }, 'exit', 'exit_loop');
    const outputs = [...graph.outputs, { name: 'exit_loop', value: loop.results[0]! }];
    return { ...graph, inputs, ops: [...graph.ops, one, loop], outputs };
  }

  const { loop } = tail;
  const work: Work = {
    graph,
    add,
    scope: loop.scope === '' ? 'exit' : `${loop.scope}/exit`,
    parts: partsOfLoop(loop),
    ...aroundLoop(graph, loop),
    behind: [],
    renamed: new Map(),
  };
  work.parts.limit = maxLoops;
  const exits = after.filter((n) => n < loop.attrs.loops);
  let exitLoop: Value;
  if (exits.length > 0) {
    const state = carryExits(work, tokens);
    collectNewEntries(work, state.exited.parameter);
    leave(work, tail, state, { exits, confidence, threshold });
    exitLoop = state.exitLoop.result;
    note(`tokens may leave behind ${exits.length === 1 ? 'loop' : 'loops'} ${exits.join(', ')}, by ${confidence}`);
  } else {
    collectNewEntries(work, undefined);
    exitLoop = clampedLoops(work, maxLoops, tokens);
    note('there are no exits: max_loops alone decides');
  }

  const moved = new Set(exits.length > 0 ? tail.ops : []);
  const rename = (value: Value): Value => work.renamed.get(value) ?? value;
  const rest = work.rest
    .filter((op) => !moved.has(op))
    .map((op) => ({ ...op, operands: op.operands.map(rename) }) as Op);
  return {
    ...graph,
    inputs,
    ops: [...work.before, loopFromParts(loop, work.parts), ...work.behind, ...rest],
    outputs: [
      ...graph.outputs.map(({ name, value }) => ({ name, value: rename(value) })),
      { name: 'exit_loop', value: exitLoop },
    ],
  };
}

/** The graph under way: operations before the loop, the loop's parts, those to come right behind it, and the others. */
interface Work {
  readonly graph: Graph;
  readonly add: Additions;
  /** Of what this pass adds to the body. */
  readonly scope: string;
  readonly parts: LoopParts;
  readonly before: Op[];
  readonly behind: Op[];
  readonly rest: readonly Op[];
  /** What stands for a value of the old graph behind the loop. */
  readonly renamed: Map<Value, Value>;
}

/** bool [batch, sequence], true for tokens that left; i64 [batch, sequence], the loop behind which they did. */
interface ExitState {
  readonly exited: CarriedPart;
  readonly exitLoop: CarriedPart;
}

/** What follows the loop without needing it moves before it, where the body can use it. */
function aroundLoop(graph: Graph, loop: LoopOp): Pick<Work, 'before' | 'rest'> {
  const at = graph.ops.indexOf(loop);
  const needing = downstream(graph.ops, new Set(loop.results));
  const later = graph.ops.slice(at + 1);
  return {
    before: [...graph.ops.slice(0, at), ...later.filter((op) => !needing.has(op))],
    rest: later.filter((op) => needing.has(op)),
  };
}

function carryExits(work: Work, tokens: readonly Dim[]): ExitState {
  return {
    exited: carry(work, 'exited', tensor('bool', tokens)),
    exitLoop: carry(work, 'exit_loop', tensor('i64', tokens)),
  };
}

/** A new carried value that is zero before the loop. What it becomes is for the caller to set. */
function carry({ add, parts, before, scope }: Work, name: string, type: TensorType): CarriedPart {
  const zero = add.op('constant', [], { dtype: type.dtype, dims: [], values: [0] }, scope, 'zero');
  const initial = add.op('expand', [zero.results[0]!], { dims: type.dims }, scope, `${name}.initial`);
  before.push(zero, initial);
  const parameter = add.value(`${name}.before`, type);
  const part = { initial: initial.results[0]!, parameter, next: parameter, result: add.value(name, type) };
  parts.carried.push(part);
  return part;
}

/** `fresh` for tokens that are still here, `before` for those that left. Tokens lie along `axis`, rows along axis 0. */
function keepLeft(
  { add }: Work,
  exited: Value,
  before: Value,
  fresh: Value,
  axis: number,
  scope: string,
  ops: Op[],
): Value {
  const [batch, sequence] = exited.type.dims as [Dim, Dim];
  const dims = fresh.type.dims.map((_, i) => (i === 0 ? batch : i === axis ? sequence : 1));
  const mask = add.op('reshape', [exited], { dims }, scope, 'exited.mask');
  const kept = add.op('where', [mask.results[0]!, before, fresh], {}, scope, fresh.name);
  ops.push(mask, kept);
  return kept.results[0]!;
}

/** As {@link keepLeft}, against the same value of the depth before, which is carried from now on. */
function freeze(work: Work, exited: Value, fresh: Value, axis: number, scope: string, ops: Op[]): CarriedPart {
  const part = carry(work, fresh.name, fresh.type);
  part.next = keepLeft(work, exited, part.parameter, fresh, axis, scope, ops);
  return part;
}

/** Collects what each cache grows by, frozen for tokens that left, and joins it with the past behind the loop. */
function collectNewEntries(work: Work, exited: Value | undefined): void {
  const { add, parts, behind, renamed } = work;
  for (const collected of parts.collected) {
    const at = parts.ops.findIndex((op) => op.results[0] === collected.value);
    const cache = at < 0 ? undefined : asCache(parts.ops[at]!);
    const past = parts.each.find(({ parameter }) => parameter === cache?.operands[0]);
    if (!cache || !past) continue;
    const { axis } = cache.attrs;
    let entries = cache.operands[1]!;
    if (exited) {
      const ops: Op[] = [];
      entries = freeze(work, exited, entries, axis, cache.scope, ops).next;
      parts.ops.splice(at, 1, ...ops, { ...cache, operands: [past.parameter, entries] });
    }
    const { dtype, dims } = entries.type;
    const full = collected.result;
    collected.value = entries;
    collected.result = add.value(`${entries.name}.each`, { dtype, dims: [parts.loops, ...dims] });
    const joined = add.op('concat', [past.stacked, collected.result], { axis: axis + 1 }, cache.scope, full.name);
    behind.push(joined);
    renamed.set(full, joined.results[0]!);
  }
}

/** A cache and what it grows by. */
function asCache(op: Op): OpOf<'concat'> | undefined {
  return op.kind === 'concat' && op.operands.length === 2 ? op : undefined;
}

interface LeaveOptions {
  readonly exits: readonly number[];
  readonly confidence: Confidence;
  readonly threshold: Value;
}

/** Freezes the hidden state, moves the tail into the body, and decides who leaves and when the loop stops. */
function leave(
  work: Work,
  tail: ExitTail,
  { exited, exitLoop }: ExitState,
  { exits, confidence, threshold }: LeaveOptions,
): void {
  const { add, parts, before, scope, renamed } = work;
  const { ops } = parts;
  const hidden = parts.carried[tail.hidden]!;
  hidden.next = keepLeft(work, exited.parameter, hidden.parameter, hidden.next, 1, scope, ops);

  const one = add.op('constant', [], { dtype: 'i64', dims: [], values: [1] }, scope, 'one');
  const number = add.op('add', [parts.depth, one.results[0]!], {}, scope, 'loop_number');
  const here = add.op('where', [exited.parameter, exitLoop.parameter, number.results[0]!], {}, scope, 'exit_loop.now');
  before.push(one);
  ops.push(number, here);
  exitLoop.next = here.results[0]!;

  const logits = carry(work, 'logits', tail.logits.type);
  logits.next = tailInBody(work, tail, exited.parameter, hidden);
  renamed.set(tail.logits, logits.result);

  const sure = add.op(
    'less_equal',
    [threshold, addConfidence(confidence, logits.next, add, scope, ops)],
    {},
    scope,
    'confident',
  );
  const leaving = add.op('and', [sure.results[0]!, mayLeave(work, exits, threshold)], {}, scope, 'leaving');
  const left = add.op('or', [exited.parameter, leaving.results[0]!], {}, scope, 'exited.now');
  ops.push(sure, leaving, left);
  exited.next = left.results[0]!;
  parts.stop = allLeft(work, exited.next);
}

/** The tail on the hidden state of this depth; returns its logits. */
function tailInBody(work: Work, tail: ExitTail, exited: Value, hidden: CarriedPart): Value {
  const { graph, add, parts, scope, renamed, behind } = work;
  const present = new Set(graph.outputs.map(({ value }) => value));
  const caches = new Set(tail.ops.filter((op) => asCache(op) && present.has(op.results[0]!)));
  const output = caches.size > 0 ? outputOfCoda(tail) : undefined;
  const mapped = new Map([[tail.loop.results[tail.hidden]!, hidden.next]]);
  const ops = copyTail(tail.ops, add, mapped, scope, (copy, original) => {
    const extra: Op[] = [];
    const cache = caches.has(original) ? asCache(copy) : undefined;
    if (cache) {
      const [past, fresh] = cache.operands as [Value, Value];
      const { axis } = cache.attrs;
      const entries = freeze(work, exited, fresh, axis, cache.scope, extra);
      const joined = add.op('concat', [past, entries.result], { axis }, original.scope, original.results[0]!.name);
      behind.push(joined);
      renamed.set(original.results[0]!, joined.results[0]!);
      return [...extra, { ...cache, operands: [past, entries.next] }];
    }
    if (original.results[0] !== output) return [copy];
    const frozen = freeze(work, exited, copy.results[0]!, 1, copy.scope, extra);
    mapped.set(output!, frozen.next);
    return [copy, ...extra];
  });
  parts.ops.push(...ops);
  return mapped.get(tail.logits)!;
}

/** The hidden state that final norm and head are applied to: where the tail stops being a chain. */
function outputOfCoda(tail: ExitTail): Value {
  const makers = new Map(tail.ops.flatMap((op) => op.results.map((result) => [result, op] as const)));
  let value = tail.logits;
  for (;;) {
    const maker = makers.get(value);
    const sources = maker?.operands.filter((operand) => makers.has(operand)) ?? [];
    if (sources.length !== 1) return value;
    value = sources[0]!;
  }
}

/** bool []: whether a token that is sure may leave at this depth. */
function mayLeave({ add, parts, before, scope }: Work, exits: readonly number[], threshold: Value): Value {
  const certain = add.op('constant', [], { dtype: 'f32', dims: [], values: [1] }, scope, 'certain');
  const open = add.op('less', [threshold, certain.results[0]!], {}, scope, 'exits_open');
  before.push(certain, open);
  // Behind the last loop nothing is left to decide.
  if (exits.length === parts.loops - 1) return open.results[0]!;
  const values = Array.from({ length: parts.loops }, (_, depth) => (exits.includes(depth + 1) ? 1 : 0));
  const exitHere = add.op('constant', [], { dtype: 'bool', dims: [parts.loops], values }, scope, 'exit_here');
  const both = add.op('and', [exitHere.results[0]!, open.results[0]!], {}, scope, 'exits_open');
  before.push(exitHere, both);
  const parameter = add.value('exit_open', tensor('bool', []));
  parts.each.push({ stacked: both.results[0]!, parameter });
  return parameter;
}

/** bool []: no token that the attention mask shows is still here. */
function allLeft({ graph, add, parts, before, scope }: Work, exited: Value): Value {
  const mask = inputOf(graph, 'attention_mask');
  const total = mask.type.dims[1]!;
  const start = subtractDims(total, exited.type.dims[1]!);
  const zero = add.op('constant', [], { dtype: 'i64', dims: [], values: [0] }, scope, 'zero');
  const own = add.op('slice', [mask], { axis: 1, start, end: total }, scope, 'token_mask');
  const hidden = add.op('equal', [own.results[0]!, zero.results[0]!], {}, scope, 'tokens.hidden');
  before.push(zero, own, hidden);
  const done = add.op('or', [exited, hidden.results[0]!], {}, scope, 'tokens.done');
  const here = add.op('not', [done.results[0]!], {}, scope, 'tokens.here');
  const ones = add.op('cast', [here.results[0]!], { to: 'i64' }, scope, 'tokens.here');
  const rows = add.op('reduce_sum', [ones.results[0]!], { axis: 1, keep: false }, scope, 'tokens.rows');
  const count = add.op('reduce_sum', [rows.results[0]!], { axis: 0, keep: false }, scope, 'tokens.count');
  const stop = add.op('equal', [count.results[0]!, zero.results[0]!], {}, scope, 'all_left');
  parts.ops.push(done, here, ones, rows, count, stop);
  return stop.results[0]!;
}

/** Without exits every token leaves behind the last loop that runs. */
function clampedLoops({ add, parts, behind, scope }: Work, maxLoops: Value, tokens: readonly Dim[]): Value {
  const one = add.op('constant', [], { dtype: 'i64', dims: [], values: [1] }, scope, 'one');
  const all = add.op('constant', [], { dtype: 'i64', dims: [], values: [parts.loops] }, scope, 'loops');
  const least = add.op('max', [maxLoops, one.results[0]!], {}, scope, 'max_loops.least');
  const clamped = add.op('min', [least.results[0]!, all.results[0]!], {}, scope, 'max_loops.clamped');
  const loop = add.op('expand', [clamped.results[0]!], { dims: tokens }, scope, 'exit_loop');
  behind.push(one, all, least, clamped, loop);
  return loop.results[0]!;
}

function inputOf(graph: Graph, name: string): Value {
  const input = graph.inputs.find((value) => value.name === name);
  invariant(input, `the graph has no input "${name}"`);
  return input;
}
