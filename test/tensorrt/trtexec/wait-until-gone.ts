import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves when none of these processes is there any more; throws after three seconds, and ends what is left. */
export async function waitUntilGone(pids: readonly number[]): Promise<void> {
  for (let i = 0; i < 300; i++) {
    if (!pids.some(isAlive)) return;
    await sleep(10);
  }
  const left = pids.filter(isAlive);
  for (const pid of left) process.kill(pid, 'SIGKILL');
  throw new Error(`still there: ${left.join(', ')}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    // A process that has ended stays in the table until whoever adopted it has asked how.
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
