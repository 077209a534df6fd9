import type { LoopOp, Op, Value } from '../../ir/graph.ts';
import { invariant } from '../../ir/invariant.ts';

/** A loop taken apart, for passes that change several parts of it; {@link loopFromParts} puts it together again. */
export interface LoopParts {
  readonly loops: number;
  readonly depth: Value;
  readonly carried: CarriedPart[];
  readonly each: { readonly stacked: Value; readonly parameter: Value }[];
  readonly collected: CollectedPart[];
  ops: Op[];
  limit: Value | undefined;
  stop: Value | undefined;
}

/** A carried value: before the loop, at the start of a depth, at its end, behind the loop. */
export interface CarriedPart {
  readonly initial: Value;
  readonly parameter: Value;
  next: Value;
  readonly result: Value;
}

/** A value of every depth, and the stack of them behind the loop. */
export interface CollectedPart {
  value: Value;
  result: Value;
}

export function partsOfLoop({ attrs, operands, results, body }: LoopOp): LoopParts {
  const { loops, carried, each, limited, stops } = attrs;
  const first = stops ? 1 : 0;
  return {
    loops,
    depth: body.parameters[0]!,
    carried: Array.from({ length: carried }, (_, i) => ({
      initial: operands[i]!,
      parameter: body.parameters[1 + i]!,
      next: body.results[first + i]!,
      result: results[i]!,
    })),
    each: Array.from({ length: each }, (_, i) => ({
      stacked: operands[carried + i]!,
      parameter: body.parameters[1 + carried + i]!,
    })),
    collected: results.slice(carried).map((result, i) => ({ value: body.results[first + carried + i]!, result })),
    ops: [...body.ops],
    limit: limited ? operands.at(-1) : undefined,
    stop: stops ? body.results[0] : undefined,
  };
}

/** `loop` with other parts; its scope stays. */
export function loopFromParts(loop: LoopOp, parts: LoopParts): LoopOp {
  const { carried, each, collected, limit, stop } = parts;
  invariant(parts.loops === loop.attrs.loops, 'a loop put together with another number of depths');
  return {
    ...loop,
    operands: [...carried.map((c) => c.initial), ...each.map((e) => e.stacked), ...(limit ? [limit] : [])],
    attrs: {
      loops: parts.loops,
      carried: carried.length,
      each: each.length,
      limited: limit !== undefined,
      stops: stop !== undefined,
    },
    results: [...carried.map((c) => c.result), ...collected.map((c) => c.result)],
    body: {
      parameters: [parts.depth, ...carried.map((c) => c.parameter), ...each.map((e) => e.parameter)],
      ops: parts.ops,
      results: [...(stop ? [stop] : []), ...carried.map((c) => c.next), ...collected.map((c) => c.value)],
    },
  };
}
