/** Tables in Markdown, aligned for a terminal too. */

type Align = 'left' | 'right';

export function markdownTable(
  columns: readonly (readonly [name: string, align: Align])[],
  rows: readonly string[][],
): string {
  const cells = rows.map((row) => row.map(escapeCell));
  const widths = columns.map(([name], i) => Math.max(name.length, 3, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => (columns[i]![1] === 'right' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join(' | ')} |`;
  const rule = columns.map(([, align], i) =>
    align === 'right' ? `${'-'.repeat(widths[i]! - 1)}:` : '-'.repeat(widths[i]!),
  );
  return [line(columns.map(([name]) => name)), line(rule), ...cells.map(line)].join('\n');
}

/** Names come from files: they must not break a table, nor become Markdown of their own. */
function escapeCell(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\|`*<>[\]]/g, (character) => `\\${character}`);
}
