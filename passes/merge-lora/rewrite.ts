import type { Graph, LoopOp, Op, Value } from '../../ir/graph.ts';
import type { WeightExpr } from '../../ir/weights.ts';
import { type Additions, additions } from '../additions.ts';
import { sharedScope } from '../cse.ts';
import type { Precision } from '../set-precision.ts';
import type { DepthUpdate } from './depth-updates.ts';
import { joinDepths } from './join-depths.ts';
import { scaling } from './scale.ts';
import type { Factor, LoraBase, LoraUpdate } from './updates.ts';

/** Collects what becomes of operations, then makes the graph in which it has. */
export interface LoraRewrite {
  /** B · (A · x), as two products. */
  readonly keep: (update: LoraUpdate) => void;
  /** One product with W + s·BA. */
  readonly bake: (update: LoraUpdate, base: LoraBase) => void;
  /** One product with all the A's, of which each B takes its part. */
  readonly concatenate: (updates: readonly LoraUpdate[]) => void;
  /** One product with the A's of all depths, of which each B takes its part; rows keep what is of their depth. */
  readonly joinDepths: (updates: readonly DepthUpdate[]) => void;
  readonly finish: () => Pick<Graph, 'weights' | 'ops'>;
}

/** What a loop is given besides what it had. */
interface LoopAddition {
  readonly before: Op[];
  readonly each: { readonly stacked: Value; readonly parameter: Value }[];
}

/** @param compute what products will be computed in */
export function loraRewrite(graph: Graph, compute: Precision): LoraRewrite {
  const add = additions(graph);
  const replacements = new Map<Op, readonly Op[]>();
  const loops = new Map<LoopOp, LoopAddition>();

  const perDepth = (loop: LoopOp, stacked: Value, before: readonly Op[], name: string): Value => {
    const addition = loops.get(loop) ?? { before: [], each: [] };
    loops.set(loop, addition);
    addition.before.push(...before);
    const parameter = add.value(name, { dtype: stacked.type.dtype, dims: stacked.type.dims.slice(1) });
    addition.each.push({ stacked, parameter });
    return parameter;
  };

  /** A times a number for each of its rows, or one for all, by depth; made before the loop when A differs by depth. */
  const scaledFactor = (a: Factor, rows: readonly (readonly number[])[], { loop, scope }: Place, ops: Op[]): Value => {
    const depths = rows.length;
    const numbers = { dtype: a.value.type.dtype, values: rows.flat() };
    const name = `${a.value.name}.scaled`;
    if (a.kind !== 'per-depth' || !loop) {
      const constant = add.op('constant', [], { ...numbers, dims: [rows[0]!.length, 1] }, scope, 'lora.scale');
      const scaled = add.op('mul', [a.value, constant.results[0]!], {}, scope, name);
      ops.push(constant, scaled);
      return scaled.results[0]!;
    }
    const constant = add.op('constant', [], { ...numbers, dims: [depths, rows[0]!.length, 1] }, scope, 'lora.scale');
    const scaled = add.op('mul', [a.stacked, constant.results[0]!], {}, scope, name);
    return perDepth(loop, scaled.results[0]!, [constant, scaled], name);
  };

  const keep = (update: LoraUpdate): void => {
    const { op, x, a, b, loop } = update;
    const ops: Op[] = [];
    const where = scaling(update);
    const rows = update.scales?.map((scale) => [scale]);
    const factor = where === 'factor' ? scaledFactor(a, rows!, { loop, scope: op.scope }, ops) : a.value;
    const name = op.results[0]!.name;
    const inner = add.op('linear', [x, factor], {}, op.scope, `${name}.a`);
    ops.push(inner);
    let narrow = inner.results[0]!;
    if (where === 'product') {
      const scaled = add.op('mul', [narrow, op.operands[3]!], {}, op.scope, `${name}.scaled`);
      ops.push(scaled);
      narrow = scaled.results[0]!;
    }
    ops.push(add.op('linear', [narrow, b.value], {}, op.scope, op.results[0]!));
    replacements.set(op, ops);
  };

  const bake = ({ op, a, b, scales }: LoraUpdate, base: LoraBase): void => {
    if (a.kind !== 'weight' || b.kind !== 'weight') return;
    const merged = { kind: 'merge', base: base.expr, a: a.expr, b: b.expr, scale: scales![0]! } as const;
    const wish = op.scope === '' ? `${base.weight.name}.merged` : `${op.scope.replaceAll('/', '.')}.merged`;
    const [x, , bias] = base.linear.operands;
    const { scope } = base.linear;
    replacements.set(op, []);
    replacements.set(base.linear, []);
    replacements.set(base.add, [
      add.op('linear', [x!, add.weight(wish, merged), bias], {}, scope, base.add.results[0]!),
    ]);
  };

  /** A product with A times a number for each of its columns, by depth if there are several rows of numbers. */
  const scaledProduct = (
    product: Value,
    rows: readonly (readonly number[])[],
    { loop, scope }: Place,
    ops: Op[],
  ): Value => {
    const { dtype } = product.type;
    const width = rows[0]!.length;
    const dims = rows.length === 1 ? [width] : [rows.length, width];
    const constant = add.op('constant', [], { dtype, dims, values: rows.flat() }, scope, 'lora.scale');
    const [numbers] = constant.results as [Value];
    if (rows.length === 1) ops.push(constant);
    const vector = rows.length === 1 ? numbers : perDepth(loop!, numbers, [constant], 'lora.scale');
    const scaled = add.op('mul', [product, vector], {}, scope, `${product.name}.scaled`);
    ops.push(scaled);
    return scaled.results[0]!;
  };

  const concatenate = (updates: readonly LoraUpdate[]): void => {
    const [first] = updates;
    if (!first || updates.length === 1) {
      updates.forEach(keep);
      return;
    }
    const scope = updates.map(({ op }) => op.scope).reduce(sharedScope);
    const { loop, x } = first;
    const place = { loop, scope };
    const ops: Op[] = [];
    const name = 'lora.joined';
    const joined = joinFactors(add, updates);
    const places = new Set(updates.map(scaling));
    const rows = rowScales(updates);
    let a: Value;
    if (places.has('factor') && !places.has('product')) a = scaledFactor(joined, rows!, place, ops);
    else if (joined.kind === 'per-depth' && loop) a = perDepth(loop, joined.stacked, [], `${name}.a`);
    else a = joined.value;
    const inner = add.op('linear', [x, a], {}, scope, name);
    ops.push(inner);
    const narrow =
      places.has('product') && rows ? scaledProduct(inner.results[0]!, rows, place, ops) : inner.results[0]!;
    const pieces = add.all(
      'split',
      [narrow],
      { axis: narrow.type.dims.length - 1, sizes: updates.map(({ rank }) => rank) },
      scope,
      updates.map(({ op }) => `${op.results[0]!.name}.a`),
    );
    ops.push(pieces);
    updates.forEach((update, i) => {
      const { op, b } = update;
      const own = i === 0 ? ops : [];
      let input = pieces.results[i]!;
      if (places.has('product') && !rows) {
        const scaled = add.op('mul', [input, op.operands[3]!], {}, op.scope, `${op.results[0]!.name}.scaled`);
        own.push(scaled);
        input = scaled.results[0]!;
      }
      own.push(add.op('linear', [input, b.value], {}, op.scope, op.results[0]!));
      replacements.set(op, own);
    });
  };

  const apply = (ops: readonly Op[]): readonly Op[] =>
    ops.flatMap((op): readonly Op[] => {
      if (op.kind === 'loop') {
        const { before, each } = loops.get(op) ?? { before: [], each: [] };
        return [...before, extendLoop(op, apply(op.body.ops), each)];
      }
      return replacements.get(op) ?? [op];
    });

  const joinAllDepths = (updates: readonly DepthUpdate[]): void => {
    for (const [op, ops] of joinDepths(add, updates, compute)) replacements.set(op, ops);
  };

  return {
    keep,
    bake,
    concatenate,
    joinDepths: joinAllDepths,
    finish: () => ({ ops: apply(graph.ops), weights: add.weights() }),
  };
}

interface Place {
  readonly loop: LoopOp | undefined;
  readonly scope: string;
}

/** All the A's on top of each other, for each depth if they differ by depth. */
function joinFactors(add: Additions, updates: readonly LoraUpdate[]): Exclude<Factor, { kind: 'computed' }> {
  const factors = updates.map(({ a }) => a as Exclude<Factor, { kind: 'computed' }>);
  const first = factors[0]!;
  const axis = first.kind === 'per-depth' ? 1 : 0;
  const expr: WeightExpr = { kind: 'concat', axis, of: factors.map((factor) => factor.expr) };
  const from = first.kind === 'per-depth' ? first.stacked : first.value;
  const value = add.weight(`${from.name}.joined`, expr);
  return first.kind === 'per-depth'
    ? { kind: 'per-depth', value, stacked: value, expr }
    : { kind: 'weight', value, expr };
}

/** The scale of every row of the joined A, by depth, or once when no depth differs; undefined when one is computed. */
function rowScales(updates: readonly LoraUpdate[]): readonly (readonly number[])[] | undefined {
  if (updates.some(({ scales }) => !scales)) return undefined;
  const depths = Math.max(...updates.map(({ scales }) => scales!.length));
  return Array.from({ length: depths }, (_, depth) =>
    updates.flatMap(({ scales, rank }) => new Array<number>(rank).fill(scales![depth % scales!.length]!)),
  );
}

function extendLoop(op: LoopOp, body: readonly Op[], added: LoopAddition['each']): LoopOp {
  const { carried, each } = op.attrs;
  const end = carried + each;
  return {
    ...op,
    operands: [...op.operands.slice(0, end), ...added.map(({ stacked }) => stacked), ...op.operands.slice(end)],
    attrs: { ...op.attrs, each: each + added.length },
    body: {
      parameters: [...op.body.parameters, ...added.map(({ parameter }) => parameter)],
      ops: body,
      results: op.body.results,
    },
  };
}
