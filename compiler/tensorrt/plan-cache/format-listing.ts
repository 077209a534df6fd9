import { formatBytes } from '../../inspect/format-bytes.ts';
import { printable } from '../../inspect/printable.ts';
import { formatTable } from '../../inspect/table.ts';
import type { CacheListing } from './list-cache.ts';
import type { Pruned } from './prune-cache.ts';

/** What `rtc cache list` prints: a line for each engine and timing cache, and one with the sum. */
export function formatListing({ engines, timingCaches, damaged, bytes }: CacheListing): string {
  const rows = engines.map(({ key, parts, stamp }) => [
    stamp.file,
    formatBytes(stamp.size),
    printable(parts.gpu),
    `sm ${printable(parts.computeCapability)}`,
    `TensorRT ${printable(parts.tensorrt)}`,
    `driver ${printable(parts.driver)}`,
    key.slice(0, 12),
  ]);
  const timed = timingCaches.map(({ file, bytes }) => [`timing/${printable(file)}`, formatBytes(bytes)]);
  const lines = [
    ...formatTable(rows, ['left', 'right', 'left', 'left', 'left', 'left', 'left']),
    ...formatTable(timed, ['left', 'right']),
    `${counted(engines.length, 'engine')} and ${counted(timingCaches.length, 'timing cache')}, ${formatBytes(bytes)}`,
  ];
  if (damaged.length > 0)
    lines.push(
      `${counted(damaged.length, 'damaged engine')} set aside; "rtc cache prune" removes ${damaged.length === 1 ? 'it' : 'them'}`,
    );
  return `${lines.join('\n')}\n`;
}

/** What `rtc cache prune` prints. */
export function formatPruned({ removed, removedBytes, keptBytes }: Pruned): string {
  const gone = `${counted(removed.length, 'engine')} of ${formatBytes(removedBytes)} removed`;
  return `${gone}, ${keptBytes === 0 ? 'none' : formatBytes(keptBytes)} kept\n`;
}

function counted(count: number, what: string): string {
  return `${count === 0 ? 'no' : count} ${what}${count === 1 ? '' : 's'}`;
}
