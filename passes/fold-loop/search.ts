import { type Anchor, findAnchors } from './anchors.ts';
import type { Body } from './body.ts';
import { candidatesOf } from './candidates.ts';
import type { Flow } from './flow.ts';
import { type Interval, intervalOf, signature } from './interval.ts';
import { matchBody } from './match.ts';
import { describe, type Miss } from './miss.ts';

/** A loop that is not there, and how near it came. */
export interface NearMiss {
  /** Number of the weight that is used again and again. */
  readonly weight: number;
  /** How often the weight is used in what was tried. */
  readonly uses: number;
  /** The elements that a loop would have shared. */
  readonly elements: number;
  readonly message: string;
}

export interface SearchResult {
  /** The loops found, none within another, the best first. */
  readonly bodies: readonly Body[];
  /** What was tried in vain, the nearest miss first. */
  readonly misses: readonly NearMiss[];
  /** Whether any weight is used more than once by operations of a kind. */
  readonly anchored: boolean;
}

/**
 * Finds repetitions from the weights that are used again and again.
 *
 * Between two uses of a weight of the block lies a value that every path passes: what one repetition hands to the next.
 * There may be several such values (after attention, after the MLP, after the norm); only one of them starts where the
 * first repetition starts. Of all bodies that match, the one wins that shares most; then the one that carries least.
 */
export function searchLoops(flow: Flow): SearchResult {
  const bodies: Body[] = [];
  const misses: NearMiss[] = [];
  const settled = new Set<number>();
  const anchors = findAnchors(flow);
  for (const anchor of anchors) {
    if (settled.has(anchor.value)) continue;
    settled.add(anchor.value);
    const { found, missed } = tryAnchor(flow, anchor, anchors);
    bodies.push(...found);
    misses.push(...missed);
    for (const body of found) for (const value of sharedBy(body)) settled.add(value);
    // Another weight of the same block would end in the same way.
    if (found.length === 0) for (const value of besides(flow, anchor, anchors)) settled.add(value);
  }
  bodies.sort(better);
  misses.sort((a, b) => b.elements - a.elements);
  return { bodies: withoutOverlaps(bodies), misses, anchored: anchors.length > 0 };
}

/** Sorts the body first that shares most, then carries least, then differs least from depth to depth. */
function better(a: Body, b: Body): number {
  return (
    b.saved - a.saved ||
    a.carried.length - b.carried.length ||
    a.each.length - b.each.length ||
    b.nodes.length - a.nodes.length
  );
}

/**
 * Whether `later`, as good as `earlier` and beginning behind it, begins where a person would: an activation that follows
 * the product of a prelude is no part of the block, even if the block ends with one. A norm begins a block.
 */
function endsWell(flow: Flow, later: Body, earlier: Body): boolean {
  if (better(later, earlier) !== 0) return false;
  const kept = new Set(later.nodes.map(({ ops }) => ops[0]!));
  const passed = earlier.nodes.map(({ ops }) => ops[0]!).filter((op) => !kept.has(op));
  return passed.every((op) => flow.ops[op]!.operands.every((id) => !flow.weighted[id]));
}

interface Attempt {
  readonly found: readonly Body[];
  readonly missed: readonly NearMiss[];
}

/**
 * Takes the uses of a weight one by one, then, where that does not explain all of them, every second, every third …:
 * a block may use a weight more than once.
 */
function tryAnchor(flow: Flow, anchor: Anchor, anchors: readonly Anchor[]): Attempt {
  const chains = chainsOf(flow, anchor.uses);
  const attempts = chains.map((uses) => tryChain(flow, { ...anchor, uses }, anchors));
  const found = attempts.flatMap((attempt) => attempt.found).sort(better);
  const missed = attempts.flatMap((attempt) => attempt.missed);
  if (chains.length !== 1) missed.push(missOf(anchor, anchor.uses, 'its uses do not follow from one another'));
  return { found: withoutOverlaps(found), missed };
}

/**
 * The stretches of `uses` in which each depends on the one before. Uses side by side belong to no stretch: which of them
 * came first would be a matter of how the graph is ordered.
 */
function chainsOf(flow: Flow, uses: readonly number[]): readonly (readonly number[])[] {
  const isUse = new Set(uses);
  const levels: number[][] = [];
  const levelOf = new Map<number, number>();
  const last = uses.at(-1)!;
  for (let op = uses[0]!; op <= last; op++) {
    let level = 0;
    for (const id of flow.ops[op]!.reads) level = Math.max(level, levelOf.get(flow.maker[id]!) ?? 0);
    if (isUse.has(op)) {
      levels[level] = [...(levels[level] ?? []), op];
      level++;
    }
    if (level > 0) levelOf.set(op, level);
  }
  const chains: number[][] = [[]];
  for (const level of levels) {
    if (level.length === 1) chains.at(-1)!.push(level[0]!);
    else chains.push([]);
  }
  return chains.filter(({ length }) => length > 1);
}

function tryChain(flow: Flow, anchor: Anchor, anchors: readonly Anchor[]): Attempt {
  const found: Body[] = [];
  const missed: NearMiss[] = [];
  for (let stride = 1; 2 * stride <= anchor.uses.length; stride++) {
    const uses = anchor.uses.filter((_, i) => i % stride === 0 && i + stride <= anchor.uses.length);
    const attempt = tryUses(flow, anchor, uses, anchors);
    found.push(...attempt.found);
    missed.push(...attempt.missed);
    // Several loops may be parts of one that uses the weight several times.
    const whole = found.some((body) => {
      const inside = new Set(opsOf(body));
      return anchor.uses.every((use) => inside.has(use));
    });
    if (whole) break;
  }
  return { found, missed };
}

function missOf({ value, elements }: Anchor, uses: readonly number[], message: string): NearMiss {
  return { weight: value, uses: uses.length, elements: elements * (uses.length - 1), message };
}

/** Of places that all fail, this many are tried, the most promising first: layers that look alike make many. */
const mostCandidates = 24;

/** Takes `uses` as the same operation in one repetition after the other; where they are not, looks at parts of them. */
function tryUses(flow: Flow, anchor: Anchor, uses: readonly number[], anchors: readonly Anchor[]): Attempt {
  if (uses.length < 2) return { found: [], missed: [] };
  const miss = (message: string): NearMiss => missOf(anchor, uses, message);
  const split = (at: number, reason: NearMiss): Attempt => {
    const parts = [uses.slice(0, at), uses.slice(at)].map((part) => tryUses(flow, anchor, part, anchors));
    return { found: parts.flatMap((part) => part.found), missed: [reason, ...parts.flatMap((part) => part.missed)] };
  };

  const intervals = uses.slice(1).map((use, d) => intervalOf(flow, uses[d]!, use));
  const signatures = intervals.map((interval) => signature(flow, interval));
  const change = signatures.findIndex((text, d) => d > 0 && text !== signatures[d - 1]);
  if (change > 0) {
    const message = signatureMessage(flow, intervals[change]!, intervals[change - 1]!);
    // The use between the two intervals may be the last of the one repetition and the first of another.
    const before = tryUses(flow, anchor, uses.slice(0, change + 1), anchors);
    const after = tryUses(flow, anchor, uses.slice(change), anchors);
    return {
      found: [...before.found, ...after.found],
      missed: [miss(message), ...before.missed, ...after.missed],
    };
  }

  const { candidates, without } = candidatesOf(flow, uses, intervals, anchors);
  let best: Body | undefined;
  let first: Miss | undefined;
  for (const { boundary, potential } of candidates.slice(0, mostCandidates)) {
    if (best && potential < best.saved) break;
    const result = matchBody(flow, boundary);
    if ('message' in result) {
      first ??= result;
      continue;
    }
    const inside = new Set(opsOf(result));
    if (uses.every((use) => inside.has(use)) && (!best || better(result, best) < 0 || endsWell(flow, result, best)))
      best = result;
  }
  if (best) return { found: [best], missed: [] };
  const why = first && !first.vague ? first : (without ?? first);
  return why ? split(why.depth, miss(why.message)) : { found: [], missed: [] };
}

/** The first difference between the ways from one use of a weight to the next. */
function signatureMessage(flow: Flow, interval: Interval, before: Interval): string {
  const shape = (id: number | undefined) => (id === undefined ? undefined : flow.ops[flow.maker[id]!]!.shape);
  const at = interval.cuts.findIndex((id, i) => shape(id) !== shape(before.cuts[i]));
  const [found, expected] =
    at < 0 ? [undefined, before.cuts[interval.cuts.length]] : [interval.cuts[at], before.cuts[at]];
  const name = (id: number | undefined) => (id === undefined ? 'nothing more' : describe(flow, id));
  return `${name(found)} stands where ${name(expected)} does`;
}

/** The operations of the body at all depths. */
function opsOf({ nodes }: Body): readonly number[] {
  return nodes.flatMap(({ ops }) => ops);
}

function sharedBy(body: Body): readonly number[] {
  return body.nodes.flatMap(({ operands }) => operands.flatMap((ref) => (ref.kind === 'shared' ? [ref.value] : [])));
}

/** Weights used as often as `anchor` and once between its first two uses: they belong to the same block. */
function besides(flow: Flow, anchor: Anchor, anchors: readonly Anchor[]): readonly number[] {
  if (chainsOf(flow, anchor.uses)[0]?.length !== anchor.uses.length) return [];
  const between = new Set(intervalOf(flow, anchor.uses[0]!, anchor.uses[1]!).ops);
  const others = anchors.filter(
    ({ uses }) => uses.length === anchor.uses.length && uses.filter((use) => between.has(use)).length === 1,
  );
  return others.map(({ value }) => value);
}

/** Those of `bodies`, which are sorted, that have no operation in common with an earlier one. */
function withoutOverlaps(bodies: readonly Body[]): readonly Body[] {
  const taken = new Set<number>();
  return bodies.filter((body) => {
    const ops = opsOf(body);
    if (ops.some((op) => taken.has(op))) return false;
    for (const op of ops) taken.add(op);
    return true;
  });
}
