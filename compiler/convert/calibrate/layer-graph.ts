import { graphBuilder } from '../../../ir/builder.ts';
import { multiplyDims } from '../../../ir/dims.ts';
import { definitions, type Graph, type Op, type Value } from '../../../ir/graph.ts';
import { invariant } from '../../../ir/invariant.ts';
import type { WeightExpr } from '../../../ir/weights.ts';
import { layerPlaces } from '../../architectures/layer-places.ts';
import { linearModules } from '../../read/expected-tensors.ts';
import type { SourceModel } from '../../read/source-model.ts';

/** One layer of a model as a graph of its own, which is handed its weights. */
export interface LayerGraph {
  /**
   * Inputs: `hidden` f32 [batch, sequence, hidden], the model's position_ids, attention_mask and this layer's caches,
   * and the weights. Outputs: `hidden.out`, and of each of `inputs` its moment.
   */
  readonly graph: Graph<'unrolled'>;
  /** Names of the graph's inputs that are weights, and what each is. */
  readonly weights: ReadonlyMap<string, WeightExpr>;
  /** What linear modules read, in the order in which it is made. */
  readonly inputs: readonly LinearInput[];
  /** By linear module: the input that its weight is, and where asked for the output that it makes. */
  readonly modules: ReadonlyMap<string, { readonly weight: string; readonly output: string }>;
}

/** What one or several linear modules of a layer read. */
export interface LinearInput {
  readonly modules: readonly string[];
  readonly size: number;
  /** Name of the output that has the sum of x xᵀ over all positions, f32 [size, size]; of x², f32 [size], where wide. */
  readonly output: string;
  readonly wide: boolean;
}

export interface LayerGraphOptions {
  /** Inputs with more numbers than this are `wide`. */
  readonly widest: number;
  /** What is wanted besides the hidden state behind the layer: moments of inputs, or what each linear module makes. */
  readonly besides: 'moments' | 'outputs' | 'nothing';
}

/** The hidden state in front of a layer, and behind it. */
export const hiddenNames = { input: 'hidden', output: 'hidden.out' } as const;

/** Cuts layer `layer`, in the order in which layers run, out of a graph of the whole model. */
export function layerGraph(
  model: SourceModel,
  source: Graph<'unrolled'>,
  layer: number,
  { widest, besides }: LayerGraphOptions,
): LayerGraph {
  const place = layerPlaces(model)[layer];
  invariant(place, `no layer ${layer}`);
  const makers = definitions(source);
  const isOf = ({ scope }: Op) => scope === place.scope || scope.startsWith(`${place.scope}/`);
  const own = source.ops.filter(isOf);
  const between = (scope: string) => scope === 'embed' || /(^|\/)layer\.\d+(\/|$)/.test(scope);
  // What the layer reads of the layer before, or of the embedding, and what the next or the head reads of it.
  const entering = new Set(
    own.flatMap((op) =>
      op.operands.filter((x) => makers.has(x) && !isOf(makers.get(x)!) && between(makers.get(x)!.scope)),
    ),
  );
  const leaving = new Set(
    source.ops.flatMap((op) => (isOf(op) ? [] : op.operands.filter((x) => makers.has(x) && isOf(makers.get(x)!)))),
  );
  invariant(
    entering.size === 1 && leaving.size === 1,
    `"${place.scope}" has ${entering.size} and ${leaving.size} ends`,
  );
  const [[before], [behind]] = [[...entering], [...leaving]] as const;
  const pathOf = (scope: string) => scope.slice(place.scope.length + 1).replaceAll('/', '.');
  const linears = own.filter((op) => op.kind === 'linear');
  const paths = new Set(linearModules(model.spec).map(({ path }) => path));
  const modulesOf = new Map<Value, string[]>();
  const modules = new Map<string, { readonly weight: string; readonly output: string }>();
  for (const { scope, operands } of linears) {
    const path = pathOf(scope);
    invariant(paths.has(path), `a linear in "${scope}" is no module`);
    modules.set(path, { weight: operands[1]!.name, output: `${path}.out` });
    modulesOf.set(operands[0]!, [...(modulesOf.get(operands[0]!) ?? []), path]);
  }

  const b = graphBuilder(`${model.name}.${layer}`);
  const copies = new Map<Value, Value>([[before!, b.input(hiddenNames.input, before!.type)]]);
  const expressions = new Map(source.weights.map(({ value, expr }) => [value, expr]));
  const weights = new Map<string, WeightExpr>();
  const copy = (value: Value): Value => {
    const known = copies.get(value);
    if (known) return known;
    const maker = makers.get(value);
    if (maker) {
      const operands = maker.operands.map(copy);
      // One kind at a time is more than TypeScript follows.
      const add = b.addAll as (
        kind: string,
        operands: readonly Value[],
        attrs: object,
        name: string,
      ) => readonly Value[];
      const results = b.inScope(maker.scope, () => add(maker.kind, operands, maker.attrs, maker.results[0]!.name));
      for (const [i, result] of maker.results.entries()) copies.set(result, results[i]!);
    } else {
      const expr = expressions.get(value);
      copies.set(value, b.input(value.name, value.type));
      if (expr) weights.set(value.name, expr);
    }
    return copies.get(value)!;
  };
  b.output(hiddenNames.output, copy(behind!));
  if (besides === 'outputs') {
    for (const { results, scope } of linears) b.output(modules.get(pathOf(scope))!.output, copy(results[0]!));
  }
  if (besides !== 'moments') return { graph: b.finish('unrolled'), weights, inputs: [], modules };
  const inputs = [...modulesOf].map(([value, readers], i): LinearInput => {
    const x = copy(value);
    const size = x.type.dims.at(-1);
    invariant(typeof size === 'number', 'a linear whose inputs have no number');
    const rows = multiplyDims(...x.type.dims.slice(0, -1));
    const output = `moment.${i}`;
    const wide = size > widest;
    b.inScope('moments', () => {
      const flat = b.add('reshape', [x], { dims: [rows, size] }, `${output}.rows`);
      if (wide) {
        const squares = b.add('mul', [flat, flat], {}, `${output}.squares`);
        b.output(output, b.add('reduce_sum', [squares], { axis: 0, keep: false }, output));
      } else {
        const turned = b.add('transpose', [flat], { perm: [1, 0] }, `${output}.columns`);
        b.output(output, b.add('matmul', [turned, flat], {}, output));
      }
    });
    return { modules: readers, size, output, wide };
  });
  return { graph: b.finish('unrolled'), weights, inputs, modules };
}
