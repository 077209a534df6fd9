import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { program } from '../cli/rtc.ts';

/** What came of some runs of `rtc compile` on a disk of their own. */
export interface OnDisk {
  readonly runs: readonly { readonly exitCode: number; readonly stderr: string }[];
  /** What was in the disk's root afterwards, hidden things too. */
  readonly left: readonly string[];
}

/**
 * Runs `rtc compile` several times with an empty disk in memory as the current folder, which nobody else sees and
 * which is gone afterwards. A sentence where the system lets no one mount such a disk.
 * @param folder where the disk may be mounted
 * @param options of the mount, such as `size=1m` or `ro`
 * @param runs the arguments of each run
 */
export async function onDisk(
  folder: string,
  options: string,
  runs: readonly (readonly string[])[],
): Promise<OnDisk | string> {
  const disk = join(folder, 'disk');
  mkdirSync(disk, { recursive: true });
  const quoted = (args: readonly string[]) => args.map((arg) => `'${arg.replaceAll("'", `'\\''`)}'`).join(' ');
  const script = [
    `mount -t tmpfs -o ${options} tmpfs ${quoted([disk])} || exit 77`,
    `cd ${quoted([disk])}`,
    ...runs.map(
      (args) => `${quoted([process.execPath, program, 'compile', ...args])} 1>&2; echo "\u0001$?\u0002" 1>&2`,
    ),
    'ls -A',
  ].join('\n');
  // In a name space of its own the mount ends with the last process.
  const root = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const ended = await execa('unshare', [...root, '--mount', 'sh', '-c', script], { reject: false });
  if (ended.failed) return `no disk can be mounted here: ${ended.stderr || ended.shortMessage}`;
  const told = ended.stderr.split('\u0002').slice(0, -1);
  return {
    runs: told.map((text) => {
      const [stderr, code] = text.split('\u0001') as [string, string];
      return { exitCode: Number(code), stderr };
    }),
    left: ended.stdout.split('\n').filter((line) => line !== ''),
  };
}
