import { formatBytes } from './format-bytes.ts';
import type { Sizes } from './inspection.ts';

const names: Readonly<Record<string, string>> = { block: 'shared block', lora: 'LoRA' };

/** Rows `category  stored  unrolled  factor`, with a head and a sum; categories without bytes are left out. */
export function sizeRows(sizes: Sizes): readonly (readonly string[])[] {
  const entries = Object.entries(sizes).filter(([, { stored }]) => stored > 0);
  const sum = (of: 'stored' | 'unrolled') => entries.reduce((total, [, size]) => total + size[of], 0);
  const total = { stored: sum('stored'), unrolled: sum('unrolled') };
  const row = (name: string, { stored, unrolled }: Sizes[string]) => [
    name,
    formatBytes(stored),
    formatBytes(unrolled),
    stored === 0 ? '' : `× ${(unrolled / stored).toFixed(2)}`,
  ];
  return [
    ['', 'stored', 'unrolled', ''],
    ...entries.map(([category, size]) => row(names[category] ?? category, size)),
    row('total', total),
  ];
}
