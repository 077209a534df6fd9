import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type LogReader, logReader } from '../../../targets/tensorrt/trtexec/log-reader.ts';
import type { TrtexecPhase } from '../../../targets/tensorrt/trtexec/read-log.ts';

const folder = fileURLToPath(new URL('../../fixtures/trtexec/', import.meta.url));

/** A log of test/fixtures/trtexec, read: what stands on stderr is warnings, errors, and lines without a tag behind them. */
export function readFixture(name: string): { readonly reader: LogReader; readonly phases: readonly TrtexecPhase[] } {
  const reader = logReader();
  const phases: TrtexecPhase[] = [];
  let stream: 'stdout' | 'stderr' = 'stdout';
  for (const line of readFileSync(`${folder}${name}.log`, 'utf8').trimEnd().split('\n')) {
    if (/^\[[^\]]+\] \[[WEF]\]/.test(line)) stream = 'stderr';
    else if (/^\[[^\]]+\] \[[VI]\]|^&&&&/.test(line)) stream = 'stdout';
    const phase = reader.take(stream, line);
    if (phase !== undefined) phases.push(phase);
  }
  return { reader, phases };
}
