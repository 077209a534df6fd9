import type { TensorInspection } from './inspection.ts';
import { printable } from './printable.ts';

/**
 * Rows `name  type  [dims]`. Neighbours that differ only in a number or in being key or value are one row:
 * `past_key_values.{0…5}.key|value`.
 */
export function tensorRows(tensors: readonly TensorInspection[]): readonly (readonly string[])[] {
  const groups = new Map<string, TensorInspection[]>();
  for (const tensor of tensors) {
    const key = JSON.stringify([...familyOf(tensor.name), tensor.type, tensor.dims]);
    const group = groups.get(key);
    if (group) group.push(tensor);
    else groups.set(key, [tensor]);
  }
  return [...groups.values()].map((group) => {
    const { type, dims } = group[0]!;
    return [printable(groupName(group.map(({ name }) => name))), type.toLowerCase(), printable(`[${dims.join(', ')}]`)];
  });
}

/** What is in front of the number and behind it, key and value being the same. */
function familyOf(name: string): readonly string[] {
  const [, front, back] = /^(.*\.)\d+((?:\..*)?)$/.exec(name) ?? [];
  return front === undefined ? [name] : [front, back === '.key' || back === '.value' ? '.key|value' : back!];
}

function groupName(names: readonly string[]): string {
  if (names.length === 1) return names[0]!;
  const [front, back] = familyOf(names[0]!);
  const numbers = names.map((name) => Number(/^\d+/.exec(name.slice(front!.length))![0]));
  const distinct = [...new Set(numbers)].sort((a, b) => a - b);
  const [least, most] = [distinct[0]!, distinct.at(-1)!];
  if (least === most) return `${front}${least}${back}`;
  const inARow = most - least === distinct.length - 1;
  return `${front}{${inARow ? `${least}…${most}` : distinct.join(',')}}${back}`;
}
