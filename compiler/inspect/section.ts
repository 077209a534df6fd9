import type { Heading } from './format-inspection.ts';
import { type Align, formatTable } from './table.ts';

/** An empty line, a heading, and rows in columns below it; nothing without rows. */
export function section(
  title: string,
  rows: readonly (readonly string[])[],
  heading: Heading,
  aligns: readonly Align[] = ['left', 'left', 'left'],
): readonly string[] {
  return rows.length === 0 ? [] : ['', heading(title), ...formatTable(rows, aligns).map((line) => `  ${line}`)];
}

/** `1 layer`, `2 layers`, `1,024 tokens` */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
}

/** Items with commas between them, on as many lines as they need. */
export function listLines(items: readonly string[]): readonly string[] {
  const lines: string[] = [];
  for (const item of items) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + item.length + 2 <= listWidth) lines[lines.length - 1] = `${line} ${item},`;
    else lines.push(`${item},`);
  }
  return lines.map((line, i) => (i === lines.length - 1 ? line.slice(0, -1) : line));
}

/** {@link listLines} as rows, the name in front of the first. */
export function listRows(name: string, items: readonly string[]): readonly string[][] {
  return listLines(items).map((line, i) => [i === 0 ? name : '', line]);
}

const listWidth = 90;
