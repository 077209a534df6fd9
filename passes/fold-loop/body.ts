import { elementsOf } from './anchors.ts';
import type { Flow } from './flow.ts';

/** What an operation of the body is given. */
export type Ref =
  /** The same value at every depth, from around the loop. */
  | { readonly kind: 'shared'; readonly value: number }
  /** A value of its own at every depth, from around the loop. */
  | { readonly kind: 'each'; readonly each: Each }
  /** What the depth before has left: an index into `carried`. */
  | { readonly kind: 'carried'; readonly index: number }
  | { readonly kind: 'node'; readonly node: BodyNode; readonly result: number };

/** An operation of the body: one of the graph at every depth. */
export interface BodyNode {
  readonly ops: readonly number[];
  readonly operands: readonly Ref[];
}

export interface Carried {
  /** The value before each depth, then the one after the last: loops + 1 values. */
  readonly values: readonly number[];
  /** What the body hands on to the next depth. */
  readonly next: Ref;
}

/** A value of its own for every depth. */
export interface Each {
  /** `entries`: what is selected for each depth from one value, stacked already. `mixed`: anything of one type. */
  readonly kind: 'weights' | 'factors' | 'constants' | 'entries' | 'mixed';
  /** By depth. */
  readonly values: readonly number[];
}

/** A block that the graph repeats. */
export interface Body {
  readonly loops: number;
  readonly carried: readonly Carried[];
  /** In the order in which the nodes use them. */
  readonly each: readonly Each[];
  /** In an order in which they can run, which does not depend on the order of the graph. */
  readonly nodes: readonly BodyNode[];
  /** Elements of weights that further depths need not have of their own, those of a weight once for each of its uses. */
  readonly saved: number;
}

/** Puts what `next` needs in order, operands before users. */
export function arrangeBody(
  flow: Flow,
  loops: number,
  carried: readonly (readonly number[])[],
  next: readonly Ref[],
): Body {
  const done = new Set<BodyNode>();
  const each = new Set<Each>();
  let saved = 0;
  for (const root of next) {
    const path = root.kind === 'node' ? [root.node] : [];
    while (path.length > 0) {
      const node = path.at(-1)!;
      const missing = node.operands.find((ref) => ref.kind === 'node' && !done.has(ref.node));
      if (missing?.kind === 'node') {
        path.push(missing.node);
        continue;
      }
      path.pop();
      if (done.has(node)) continue;
      done.add(node);
      for (const ref of node.operands) {
        if (ref.kind === 'shared') saved += weightElements(flow, ref.value) * (loops - 1);
        else if (ref.kind === 'each') each.add(ref.each);
      }
    }
  }
  // A value that is handed on as it came from outside may be used by no node.
  for (const ref of next) if (ref.kind === 'each') each.add(ref.each);
  return {
    loops,
    carried: carried.map((values, i) => ({ values, next: next[i]! })),
    each: [...each],
    nodes: [...done],
    saved,
  };
}

/** Elements of a value that is made of weights. */
export function weightElements(flow: Flow, value: number): number {
  return flow.weighted[value] ? elementsOf(flow.values[value]!.type.dims) : 0;
}
