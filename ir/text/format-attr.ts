import type { AttrValue } from '../op-table.ts';
import { formatNumber } from './format-number.ts';

/** An attribute's value as the text form writes it: `1e-5`, `true`, `erf`, `[batch,4]`, `past+sequence`. */
export function formatAttr(value: AttrValue): string {
  if (typeof value === 'number') return formatNumber(value);
  if (typeof value === 'object') return `[${value.map((v) => formatAttr(v)).join(',')}]`;
  return String(value);
}
