import type { GraphBuilder } from '../../ir/builder.ts';
import type { Value } from '../../ir/graph.ts';
import { unreachable } from '../../ir/invariant.ts';
import type { LayerContext } from './build-graph.ts';
import type { Activation } from './decoder-spec.ts';

/** down(act(gate(x)) · up(x)), or down(act(up(x))) where nothing gates. */
export function mlp({ b, spec, linear }: LayerContext, x: Value): Value {
  const { names, biases } = spec;
  if (!spec.gated) return linear(names.down, activate(b, spec.activation, linear(names.up, x, biases.mlp)), biases.mlp);
  const gate = activate(b, spec.activation, linear(names.gate, x, biases.mlp));
  const gated = b.add('mul', [gate, linear(names.up, x, biases.mlp)], {}, 'gated');
  return linear(names.down, gated, biases.mlp);
}

function activate(b: GraphBuilder, activation: Activation, x: Value): Value {
  switch (activation) {
    case 'silu':
      return b.add('silu', [x], {}, 'activated');
    case 'relu':
      return b.add('relu', [x], {}, 'activated');
    case 'gelu':
      return b.add('gelu', [x], { form: 'erf' }, 'activated');
    case 'gelu_tanh':
      return b.add('gelu', [x], { form: 'tanh' }, 'activated');
    case 'quick_gelu':
      return b.add('gelu', [x], { form: 'sigmoid' }, 'activated');
    default:
      return unreachable(activation);
  }
}
