import { didYouMean } from '../../files/did-you-mean.ts';
import type { ConfigFields } from './config-fields.ts';
import type { Activation } from './decoder-spec.ts';

/** By the names of transformers' `ACT2FN`. */
const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_accurate: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_python_tanh: 'gelu_tanh',
  quick_gelu: 'quick_gelu',
  relu: 'relu',
};

/** The activation that `key` names; others than rtc has are refused by name. */
export function readActivation(fields: ConfigFields, key: string, absent: string): Activation {
  const name = fields.text(key, absent);
  const known = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (known !== undefined) return known;
  const names = Object.keys(activations);
  const suggestion = didYouMean(name, names);
  fields.error(
    'unsupported-activation',
    key,
    `The activation "${name}" is not one that rtc has.${suggestion}`,
    `It has ${names.join(', ')}.`,
  );
  return 'silu';
}
