// Loaded before a program by NODE_OPTIONS=--import: when the program ends, writes what it took to $RTC_MEASURE.
import { readFileSync, writeFileSync } from 'node:fs';

if (process.env.RTC_MEASURE) {
  process.on('exit', () => {
    const usage = process.resourceUsage();
    let read;
    try {
      read = Number(/^rchar: (\d+)/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
    } catch {
      read = undefined; // Linux alone tells
    }
    const seconds = process.uptime();
    writeFileSync(
      process.env.RTC_MEASURE,
      JSON.stringify({ seconds, peakBytes: usage.maxRSS * 1024, readBytes: read }),
    );
  });
}
