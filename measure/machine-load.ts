import { readFileSync } from 'node:fs';

/** Watches what else runs on the machine. */
export interface LoadWatch {
  /** Cores that other processes kept busy since the last call, or since the watch began; undefined where nobody tells. */
  readonly others: () => number | undefined;
}

/** Linux alone tells, in /proc/stat. What a hypervisor gave to somebody else counts as busy. */
export function watchLoad(readStat: () => string | undefined = procStat, own: () => number = ownSeconds): LoadWatch {
  const now = () => {
    const busy = busySeconds(readStat());
    return busy === undefined ? undefined : { busy, own: own(), at: performance.now() / 1000 };
  };
  let last = now();
  return {
    others: () => {
      const next = now();
      if (last === undefined || next === undefined) return undefined;
      const seconds = next.at - last.at;
      const cores = seconds <= 0 ? 0 : (next.busy - last.busy - (next.own - last.own)) / seconds;
      last = next;
      // Both clocks go in ticks of 10 ms, so that a short wait may find less than nothing.
      return Math.max(0, cores);
    },
  };
}

/** Seconds that all cores together were busy since the machine started. */
export function busySeconds(stat: string | undefined): number | undefined {
  const line = stat === undefined ? undefined : /^cpu +(.*)$/m.exec(stat)?.[1];
  if (line === undefined) return undefined;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(' ').map(Number);
  // A tick of /proc/stat is a hundredth of a second on every architecture that Node runs on.
  return (user + nice + system + irq + softirq + steal) / 100;
}

function procStat(): string | undefined {
  try {
    return readFileSync('/proc/stat', 'utf8');
  } catch {
    return undefined;
  }
}

function ownSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
