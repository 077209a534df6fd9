import { join } from 'node:path';
import { buildGraph } from '../../compiler/architectures/build-graph.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import { readTensorSync } from '../../files/read-tensor.ts';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import type { FileWeight } from '../../ir/weights.ts';

type Outputs = ReadonlyMap<string, Tensor>;

/** A model in the interpreter, in float64, one sequence at a time: no batch and no padding. */
export interface SourceJudge {
  /** Tokens behind those of an earlier call, whose outputs `past` is. */
  readonly run: (tokens: readonly number[], past?: Outputs) => Promise<Outputs>;
}

/**
 * Judges of a model, of all its loops or as if it had fewer: by the number of loops, made when first asked for.
 */
export function sourceJudges(model: SourceModel): (loops?: number) => SourceJudge {
  const cache = new Map<string, Tensor>();
  const judges = new Map<number, SourceJudge>();
  return (loops = model.recursion.loops) => {
    const judge = judges.get(loops) ?? makeJudge({ ...model, recursion: { ...model.recursion, loops } }, cache);
    judges.set(loops, judge);
    return judge;
  };
}

function makeJudge(model: SourceModel, cache: Map<string, Tensor>): SourceJudge {
  const graph = buildGraph(model);
  const readWeight = ({ file, dtype, dims, ...range }: FileWeight) =>
    makeTensor(dtype, dims, decodeTensor(dtype, readTensorSync(join(model.folder, file), range)));
  const interpreter = createInterpreter(graph, { readWeight, cache });
  const { kvHeads, headDim } = model.spec;
  return {
    run(tokens, past) {
      const before = past?.get('present.0.key')?.shape[2] ?? 0;
      const row = (length: number, value: (column: number) => number) =>
        makeTensor(
          'i64',
          [1, length],
          Array.from({ length }, (_, column) => value(column)),
        );
      const given = new Map([
        ['input_ids', row(tokens.length, (t) => tokens[t]!)],
        ['attention_mask', row(before + tokens.length, () => 1)],
        ['position_ids', row(tokens.length, (t) => before + t)],
      ]);
      const empty = makeTensor('f32', [1, kvHeads, 0, headDim]);
      return interpreter.run(
        new Map(
          graph.inputs.map(({ name }) => [
            name,
            given.get(name) ?? past?.get(name.replace('past_key_values', 'present')) ?? empty,
          ]),
        ),
      );
    },
  };
}
