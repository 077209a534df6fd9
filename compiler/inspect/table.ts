/** A column: where its cells stand. Names stand left, numbers right. */
export type Align = 'left' | 'right';

/** Lines of a table whose columns line up, two spaces apart, without spaces at the end. Cells may hold colours. */
export function formatTable(rows: readonly (readonly string[])[], aligns: readonly Align[]): readonly string[] {
  const widths = aligns.map((_, column) => Math.max(0, ...rows.map((row) => displayWidth(row[column] ?? ''))));
  return rows.map((row) =>
    aligns
      .map((align, column) => {
        const cell = row[column] ?? '';
        const space = ' '.repeat(widths[column]! - displayWidth(cell));
        return align === 'left' ? cell + space : space + cell;
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Columns that a text takes on a terminal, where colours take none. */
function displayWidth(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
  return [...text.replace(/\x1b\[\d+m/g, '')].length;
}
