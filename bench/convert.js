// What converting a model of TinyLlama's shape takes: wall time and the most memory that `rtc convert` ever held, each
// run a process of its own. VmHWM counts pages of files that are mapped as well, which the system may take back.
//
//   node bench/convert.js [--model DIR] [--rank 64] [--loops 2] [--threads N] [--keep DIR]
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeDecayingModel } from './make-decaying-model.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    rank: { type: 'string', default: '64' },
    loops: { type: 'string', default: '2' },
    threads: { type: 'string' },
    keep: { type: 'string' },
  },
});
const bin = new URL('../bin/rtc.js', import.meta.url).pathname;
const folder = values.keep ?? mkdtempSync(join(tmpdir(), 'rtc-convert-'));
try {
  const model = values.model ?? join(folder, 'model');
  if (!existsSync(join(model, 'config.json'))) {
    const began = performance.now();
    const { bytes, parameters } = makeDecayingModel(model);
    const seconds = ((performance.now() - began) / 1e3).toFixed(0);
    console.log(
      `made: ${(parameters / 1e9).toFixed(2)} billion parameters, ${(bytes / 1e9).toFixed(2)} GB, ${seconds} s`,
    );
  }
  const out = join(folder, 'converted');
  rmSync(out, { recursive: true, force: true });
  const args = ['convert', model, '--loops', values.loops, '--lora-rank', values.rank, '--out', out, '--quiet'];
  if (values.threads) args.push('--threads', values.threads);
  const busy = otherTime();
  const { seconds, peak, cpu } = await measured([bin, ...args]);
  const others =
    busy === undefined ? '' : `, others kept ${(((otherTime() - busy) / 100 - cpu) / seconds).toFixed(1)} cores busy`;
  const memory = peak === undefined ? 'memory: not on this system' : `at most ${(peak / 1e6).toFixed(2)} GB`;
  console.log(`rank ${values.rank}: ${seconds.toFixed(0)} s (${cpu.toFixed(0)} s of CPU${others}), ${memory}`);
} finally {
  if (!values.keep) rmSync(folder, { recursive: true, force: true });
}

/** Seconds, seconds of CPU, and kilobytes of VmHWM; the kernel keeps the latter, so that looking now and then is enough. */
function measured(args) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    let peak;
    let cpu = 0;
    const look = () => {
      try {
        peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? peak);
        const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1].split(' ');
        cpu = (Number(fields[11]) + Number(fields[12])) / 100;
      } catch {
        // It has ended, or this is not Linux.
      }
    };
    const timer = setInterval(look, 50);
    child.on('error', reject);
    child.on('exit', (code) => {
      clearInterval(timer);
      if (code === 0) resolve({ seconds: (performance.now() - began) / 1e3, peak, cpu });
      else reject(new Error(`rtc convert ended with ${code}`));
    });
  });
}

/** Hundredths of seconds that any process has computed for since the system began; undefined elsewhere than on Linux. */
function otherTime() {
  try {
    const [user, nice, system] = readFileSync('/proc/stat', 'utf8')
      .split('\n')[0]
      .trim()
      .split(/\s+/)
      .slice(1)
      .map(Number);
    return user + nice + system;
  } catch {
    return undefined;
  }
}
