import { type Dim, multiplyDims } from '../ir/dims.ts';
import type { DType } from '../ir/dtype.ts';
import { definitions, type Op, type Value } from '../ir/graph.ts';
import { rewriteGraph } from '../ir/rewrite.ts';
import type { StablePass } from './pass.ts';

/**
 * Rotates by tables, as ONNX Runtime's RotaryEmbedding does.
 *
 * Given: `rotary(x, cos, sin)` with cos and sin [batch, sequence, R].
 * Result: `rotary_lookup(x, cos, sin, rows)` with cos and sin [batch*sequence, R] and rows that count through them.
 * Where cos and sin are listed entries of larger ones, those become the tables, in which rows are looked up: a list may
 * be empty, and ONNX Runtime takes no table that is shorter than a sequence.
 * Leaves to cse: the tables and rows, which all layers make alike, in the scope of cos.
 */
export const fuseRotary: StablePass = {
  name: 'fuse-rotary',
  numerics: 'exact',
  changesInterface: false,
  run(graph) {
    const made = definitions(graph);
    return rewriteGraph(graph, graph.stage, (op, { builder, map, operands }) => {
      if (op.kind !== 'rotary') return undefined;
      const [cos, sin] = [entriesOf(made, op.operands[1]!), entriesOf(made, op.operands[2]!)];
      const list = cos.list === sin.list ? cos.list : undefined;
      const table = (i: 1 | 2, { of, as }: Entries, name: string): Value => {
        const whole = list ? map(of) : operands[i]!;
        const [batch, sequence, half] = whole.type.dims as [Dim, Dim, Dim];
        const rows = builder.add('reshape', [whole], { dims: [multiplyDims(batch, sequence), half] }, name);
        return list && as ? builder.add('cast', [rows], { to: as }, name) : rows;
      };
      const scope = made.get(op.operands[1]!)?.scope ?? op.scope;
      const [cosTable, sinTable, rows] = builder.inScope(scope, () => {
        const [batch, sequence] = (list ? cos.of : op.operands[1]!).type.dims as [Dim, Dim];
        const count = builder.add('iota', [], { size: multiplyDims(batch, sequence) }, 'rows');
        const grid = builder.add('reshape', [count], { dims: [batch, sequence] }, 'rows');
        const listed = list ? builder.add('gather', [grid, map(list)], { axis: 0 }, 'rows') : grid;
        return [table(1, cos, 'cos.table'), table(2, sin, 'sin.table'), listed] as const;
      });
      return [builder.add('rotary_lookup', [operands[0]!, cosTable, sinTable, rows], {}, op.results[0]!.name)];
    });
  },
};

/** Entries along the first axis of a larger value, in another type perhaps; without a list, all of them. */
interface Entries {
  readonly of: Value;
  readonly list: Value | undefined;
  readonly as: DType | undefined;
}

function entriesOf(made: ReadonlyMap<Value, Op>, value: Value): Entries {
  const op = made.get(value);
  const cast = op?.kind === 'cast' ? op : undefined;
  const gather = cast ? made.get(cast.operands[0]!) : op;
  const isListed = gather?.kind === 'gather' && gather.attrs.axis === 0 && gather.operands[1]!.type.dims.length === 1;
  if (!isListed) return { of: value, list: undefined, as: undefined };
  const [of, list] = gather.operands as [Value, Value];
  return { of, list, as: cast?.attrs.to };
}
