import { multiplyDims } from '../ir/dims.ts';
import { definitions, type Value } from '../ir/graph.ts';
import { rewriteGraph } from '../ir/rewrite.ts';
import type { StablePass } from './pass.ts';

/**
 * Rotates by tables, as ONNX Runtime's RotaryEmbedding does.
 *
 * Given: `rotary(x, cos, sin)` with cos and sin [batch, sequence, R].
 * Result: `rotary_lookup(x, cos, sin, rows)` with cos and sin [batch*sequence, R] and rows that count through them.
 * Leaves to cse: the tables and rows, which all layers make alike, in the scope of cos.
 */
export const fuseRotary: StablePass = {
  name: 'fuse-rotary',
  numerics: 'exact',
  changesInterface: false,
  run(graph) {
    const made = definitions(graph);
    return rewriteGraph(graph, graph.stage, (op, { builder, operands }) => {
      if (op.kind !== 'rotary') return undefined;
      const [x, cos, sin] = operands as [Value, Value, Value];
      const [batch, sequence, half] = cos.type.dims;
      const positions = multiplyDims(batch!, sequence!);
      const table = (of: Value, name: string): Value =>
        builder.add('reshape', [of], { dims: [positions, half!] }, name);
      const scope = made.get(op.operands[1]!)?.scope ?? op.scope;
      const [cosTable, sinTable, rows] = builder.inScope(scope, () => {
        const count = builder.add('iota', [], { size: positions }, 'rows');
        const grid = builder.add('reshape', [count], { dims: [batch!, sequence!] }, 'rows');
        return [table(cos, 'cos.table'), table(sin, 'sin.table'), grid] as const;
      });
      return [builder.add('rotary_lookup', [x, cosTable, sinTable, rows], {}, op.results[0]!.name)];
    });
  },
};
