import { evaluateDim } from '../dims.ts';
import type { Graph, LoopOp, Op, Region, Value } from '../graph.ts';
import { invariant } from '../invariant.ts';
import { formatType } from '../tensor-type.ts';
import type { WeightExpr } from '../weights.ts';
import { bindSizes } from './bind-sizes.ts';
import { evaluateWeight, type ReadWeight, type WeightCache } from './evaluate-weight.ts';
import { type Kernel, kernels } from './kernels.ts';
import { select, stack } from './movement.ts';
import { roundResult, roundTensor } from './round-tensor.ts';
import { formatShape, scalar, type Tensor } from './tensor.ts';

export interface InterpretOptions {
  readonly readWeight: ReadWeight;
  /**
   * Rounds every weight, input and result to its dtype, so that a graph is computed as it is typed. Otherwise all is
   * float64 and dtypes do not matter: the graph's exact meaning. Inside one operation it is float64 either way.
   */
  readonly round?: boolean;
  /** Shared by interpreters of the same files, so that each weight is evaluated once. */
  readonly cache?: WeightCache;
}

/** A graph that is ready to run, any number of times. */
export interface Interpreter {
  /** Takes all inputs by name and gives all outputs by name. Rejects when the inputs do not fit the graph. */
  readonly run: (inputs: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>;
}

/** Runs a graph once; see {@link createInterpreter}. */
export function interpret(
  graph: Graph,
  inputs: ReadonlyMap<string, Tensor>,
  options: InterpretOptions,
): Promise<ReadonlyMap<string, Tensor>> {
  return createInterpreter(graph, options).run(inputs);
}

/**
 * Prepares a graph for running. A weight is evaluated when an operation first asks for it, and kept; what an operation
 * makes is let go after its last use.
 */
export function createInterpreter(graph: Graph, options: InterpretOptions): Interpreter {
  const round = options.round ?? false;
  const weightOptions = { readWeight: options.readWeight, round, cache: options.cache ?? new Map() };
  const expressions = new Map<Value, WeightExpr>(graph.weights.map(({ value, expr }) => [value, expr]));
  const outputs = graph.outputs.map((output) => output.value);
  const plan = planRegion({ parameters: graph.inputs, ops: graph.ops, results: outputs });

  return {
    async run(inputs) {
      const sizes = bindSizes(graph.inputs, inputs);
      invariant(typeof sizes !== 'string', `cannot run "${graph.name}": ${sizes}`);
      const environment = new Map<Value, Tensor>();
      for (const input of graph.inputs) {
        const given = inputs.get(input.name)!;
        environment.set(input, round ? roundTensor(given) : given);
      }

      const tensorOf = async (value: Value): Promise<Tensor> => {
        const made = environment.get(value);
        if (made) return made;
        const expr = expressions.get(value);
        invariant(expr, `%${value.name} is used before it is made`);
        return evaluateWeight(expr, weightOptions);
      };
      const size = (dim: Parameters<typeof evaluateDim>[0]) => evaluateDim(dim, sizes);

      const runOps = async (region: PlannedRegion): Promise<Tensor[]> => {
        for (const { op, body, dead } of region.steps) {
          const operands: Tensor[] = [];
          for (const operand of op.operands) operands.push(await tensorOf(operand));
          const results =
            op.kind === 'loop' ? await runLoop(op, body!, operands) : computeOp(op, operands, size, round);
          op.results.forEach((value, i) => {
            checkShape(op, value, results[i]!, size);
            environment.set(value, results[i]!);
          });
          for (const value of dead) environment.delete(value);
        }
        const results: Tensor[] = [];
        for (const value of region.results) results.push(await tensorOf(value));
        return results;
      };

      const runLoop = async (op: LoopOp, body: PlannedRegion, operands: readonly Tensor[]): Promise<Tensor[]> => {
        const { loops, carried, each, limited, stops } = op.attrs;
        const limit = limited ? Math.min(Math.max(operands.at(-1)!.data[0]!, 1), loops) : loops;
        let state = operands.slice(0, carried);
        const collected: Tensor[][] = [];
        for (let depth = 0; depth < limit; depth++) {
          const entries = operands.slice(carried, carried + each).map((x) => select(x, 0, depth));
          const [counter, ...rest] = op.body.parameters;
          environment.set(counter!, scalar('i64', depth));
          for (const [i, x] of [...state, ...entries].entries()) environment.set(rest[i]!, x);
          const results = await runOps(body);
          const stop = stops && results.shift()!.data[0] !== 0;
          state = results.slice(0, carried);
          collected.push(results.slice(carried));
          if (stop) break;
        }
        while (collected.length < loops) collected.push(collected.at(-1)!);
        const columns = collected[0]!.map((_, i) => stack(collected.map((row) => row[i]!)));
        return [...state, ...columns];
      };

      const results = await runOps(plan);
      return new Map(graph.outputs.map(({ name }, i) => [name, results[i]!]));
    },
  };
}

interface Step {
  readonly op: Op;
  readonly body: PlannedRegion | undefined;
  /** Values that nothing asks for after this operation. */
  readonly dead: readonly Value[];
}

interface PlannedRegion {
  readonly steps: readonly Step[];
  readonly results: readonly Value[];
}

/** Finds where each value that a region makes is used last. */
function planRegion({ parameters, ops, results }: Region): PlannedRegion {
  const lastUse = new Map<Value, number>();
  const own = new Set(parameters);
  const kept = new Set(results);
  ops.forEach((op, i) => {
    for (const value of usedBy(op)) lastUse.set(value, i);
    for (const result of op.results) {
      own.add(result);
      lastUse.set(result, i);
    }
  });
  const dead = new Map<number, Value[]>();
  for (const [value, i] of lastUse) {
    if (own.has(value) && !kept.has(value)) dead.set(i, [...(dead.get(i) ?? []), value]);
  }
  const steps = ops.map((op, i) => ({
    op,
    body: op.kind === 'loop' ? planRegion(op.body) : undefined,
    dead: dead.get(i) ?? [],
  }));
  return { steps, results };
}

function* usedBy(op: Op): Generator<Value> {
  yield* op.operands;
  if (op.kind !== 'loop') return;
  for (const inner of op.body.ops) yield* usedBy(inner);
  yield* op.body.results;
}

function computeOp(
  op: Exclude<Op, LoopOp>,
  operands: readonly Tensor[],
  size: Parameters<Kernel<'size'>>[2],
  round: boolean,
): readonly Tensor[] {
  const kernel = kernels[op.kind] as Kernel<typeof op.kind>;
  const results = kernel(operands, op.attrs, size);
  return round ? results.map((x) => roundResult(x, operands)) : results;
}

function checkShape(op: Op, value: Value, found: Tensor, size: Parameters<Kernel<'size'>>[2]): void {
  const fits =
    found.dtype === value.type.dtype &&
    found.shape.length === value.type.dims.length &&
    value.type.dims.every((dim, axis) => size(dim) === found.shape[axis]);
  invariant(
    fits,
    `%${value.name} (${op.kind} in "${op.scope}") is ${formatType(value.type)}, not ${formatShape(found)}`,
  );
}
