import { rtc, type StartOptions } from '../cli/rtc.ts';

/** The user that owns nothing, on every Linux. */
const nobody = 65_534;

/**
 * Options that start rtc as somebody to whom a file system says no: whoever runs the tests, or nobody when that is
 * root. A sentence where even starting is not possible.
 */
export async function ordinaryUser(): Promise<Pick<StartOptions, 'uid'> | string> {
  if (process.platform === 'win32') return 'Windows knows no such permissions';
  if (process.getuid?.() !== 0) return {};
  const { exitCode } = await rtc(['--version'], { uid: nobody });
  return exitCode === 0 ? { uid: nobody } : 'the tests run as root, and nobody else may read the program';
}
