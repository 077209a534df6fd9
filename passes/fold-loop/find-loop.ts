import type { Graph, Value } from '../../ir/graph.ts';
import { formatType, type TensorType } from '../../ir/tensor-type.ts';
import { elementsOf } from './anchors.ts';
import type { Body, Each } from './body.ts';
import { dependents, type Flow, flowOf } from './flow.ts';
import { leavingValues } from './leaving.ts';
import { type NearMiss, searchLoops } from './search.ts';

/** What a graph repeats, or why it repeats nothing. */
export type LoopSearch = FoundLoop | NoLoop;

export interface FoundLoop {
  readonly found: true;
  /** Times that the block runs. */
  readonly loops: number;
  /** Layers in front of the loop, in one repetition, and behind the loop. */
  readonly prelude: number;
  readonly block: number;
  readonly coda: number;
  /** What was counted as a layer; `repetition`: the graph has neither, and the whole block counts as one. */
  readonly layersAre: 'attention' | 'softmax' | 'repetition';
  /** Operations in front of the loop, in one repetition, and behind; equal ones count once. */
  readonly ops: { readonly prelude: number; readonly block: number; readonly coda: number };
  /** The values that one depth hands to the next, as they enter the first. */
  readonly carried: readonly NamedValue[];
  /** Weights that every depth uses, in the order in which the block does. */
  readonly shared: readonly NamedValue[];
  /** What every depth has of its own. */
  readonly perDepth: readonly PerDepth[];
  /** Values of the block that are used outside: caches, states behind a loop. */
  readonly collected: readonly NamedValue[];
  /** Elements of weights that the block shares, once. */
  readonly sharedElements: number;
  /** Other loops in the graph, and repetitions that are none, in sentences. */
  readonly remarks: readonly string[];
}

export interface NoLoop {
  readonly found: false;
  /** One sentence. */
  readonly reason: string;
  /** The repetition that came nearest; undefined when no weight is used twice in one role. */
  readonly nearest: LoopMiss | undefined;
}

export interface LoopMiss {
  /** A weight that is used again and again. */
  readonly weight: string;
  readonly uses: number;
  /** What keeps its uses from being a loop. */
  readonly message: string;
}

export interface NamedValue {
  readonly name: string;
  readonly type: TensorType;
}

export interface PerDepth {
  /** `factors`: of a LoRA update, whose ranks may differ; `inputs`: caches; `values`: computed before the loop. */
  readonly kind: 'weights' | 'factors' | 'constants' | 'inputs' | 'values';
  /** By depth. */
  readonly values: readonly NamedValue[];
}

/** The loop that fold-loop would fold, from the graph alone. */
export function findLoop(graph: Graph): LoopSearch {
  return analyseLoop(graph).search;
}

/** {@link findLoop} with what folding needs. */
export interface LoopAnalysis {
  readonly search: LoopSearch;
  readonly flow: Flow;
  readonly body: Body | undefined;
}

export function analyseLoop(graph: Graph): LoopAnalysis {
  const flow = flowOf(graph);
  const { bodies, misses, anchored } = searchLoops(flow);
  const [body, ...others] = bodies;
  if (body) {
    const remarks = [
      ...others.map((other) => `another loop, ${other.loops} times ${other.nodes.length} operations, is left as it is`),
      ...misses.slice(0, 1).map((miss) => missText(named(flow, miss))),
    ];
    return { search: describeBody(flow, body, remarks), flow, body };
  }
  const nearest = misses[0] && named(flow, misses[0]);
  const reason = nearest
    ? missText(nearest)
    : anchored
      ? 'No repetition shares its weights.'
      : 'No weight is used twice by operations of one kind.';
  return { search: { found: false, reason, nearest }, flow, body: undefined };
}

function named(flow: Flow, { weight, uses, message }: NearMiss): LoopMiss {
  return { weight: flow.values[weight]!.name, uses, message };
}

function missText({ weight, uses, message }: LoopMiss): string {
  return `"${weight}" is used ${uses} times, but ${message}.`;
}

function describeBody(flow: Flow, body: Body, remarks: readonly string[]): FoundLoop {
  const inside = new Set(body.nodes.flatMap((node) => node.ops));
  const after = dependents(flow, inside);
  const kinds = { prelude: [] as string[], block: [] as string[], coda: [] as string[] };
  flow.ops.forEach(({ op }, index) => {
    if (!inside.has(index)) kinds[after[index] ? 'coda' : 'prelude'].push(op.kind);
  });
  for (const node of body.nodes) kinds.block.push(flow.ops[node.ops[0]!]!.op.kind);
  const layer = (['attention', 'softmax'] as const).find((kind) => kinds.block.includes(kind));
  const layers = (part: readonly string[]) => part.filter((kind) => kind === layer).length;

  const shared = new Set<number>();
  for (const { operands } of body.nodes) {
    for (const ref of operands) {
      if (ref.kind === 'shared')
        for (const id of weightsUnder(flow, ref.value)) if (elementsOf(flow.values[id]!.type.dims) > 0) shared.add(id);
    }
  }
  return {
    found: true,
    loops: body.loops,
    prelude: layers(kinds.prelude),
    block: layer ? layers(kinds.block) : 1,
    coda: layers(kinds.coda),
    layersAre: layer ?? 'repetition',
    ops: { prelude: kinds.prelude.length, block: kinds.block.length, coda: kinds.coda.length },
    carried: body.carried.map(({ values }) => flow.values[values[0]!]!),
    shared: [...shared].map((id) => flow.values[id]!),
    perDepth: body.each.map((each) => perDepth(flow, each)),
    collected: leavingValues(flow, body)
      .filter(({ collected }) => collected)
      .map(({ node, result }) => flow.values[flow.ops[node.ops[0]!]!.results[result]!]!),
    sharedElements: [...shared].reduce((sum, id) => sum + elementsOf(flow.values[id]!.type.dims), 0),
    remarks,
  };
}

function perDepth(flow: Flow, { kind, values }: Each): PerDepth {
  const named: readonly Value[] = values.map((id) => flow.values[id]!);
  if (kind === 'entries') return { kind: 'values', values: named };
  if (kind !== 'mixed') return { kind, values: named };
  const inputs = values.every((id) => flow.maker[id] === -1 && !flow.weights.has(id));
  return { kind: inputs ? 'inputs' : 'values', values: named };
}

/** The weights that a value is made of. */
function* weightsUnder(flow: Flow, id: number): Generator<number> {
  if (flow.weights.has(id)) yield id;
  else if (flow.fixed[id])
    for (const operand of flow.ops[flow.maker[id]!]!.operands) yield* weightsUnder(flow, operand);
}

/** A found loop in one line, as passes say it. */
export function loopText(loop: FoundLoop): string {
  const { loops, prelude, block, coda, ops, carried } = loop;
  const unit = loop.layersAre === 'repetition' ? 'repeated part' : 'layer';
  const layers = (count: number) => `${count} ${unit}${count === 1 ? '' : 's'}`;
  const around = [prelude > 0 ? `prelude ${prelude}` : '', coda > 0 ? `coda ${coda}` : ''].filter(
    (text) => text !== '',
  );
  const places = around.length > 0 ? ` (${around.join(', ')})` : '';
  const states = carried.map(({ name, type }) => `${name} ${formatType(type)}`).join(', ');
  return `A block of ${layers(block)}, ${ops.block} operations, runs ${loops} times${places}, handing on ${states}.`;
}
