import type { Diagnostic } from '../../files/diagnostics.ts';
import { onnxRuntimeCodes } from '../../runtime/session.ts';
import { trtexecCodes } from '../../targets/tensorrt/trtexec/trtexec-codes.ts';
import { enginesMissingCodes } from '../tensorrt/build/engines-missing.ts';

export { trtexecCodes };

/** What the process says when it ends. */
export const exitCodes = {
  done: 0,
  /** The input has problems; diagnostics say which. */
  problems: 1,
  wrongUsage: 2,
  verificationFailed: 3,
  /** An outside tool is missing or failed. */
  outsideTool: 4,
  /** A bug in rtc: EX_SOFTWARE of sysexits.h, so that nobody takes it for bad input. */
  bug: 70,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

const outsideCodes: ReadonlySet<string> = new Set([...onnxRuntimeCodes, ...trtexecCodes, ...enginesMissingCodes]);

/** The exit code of a command that failed with these diagnostics. */
export function exitCodeOf(diagnostics: readonly Diagnostic[]): ExitCode {
  const errors = diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.some(({ code }) => code === 'interrupted')) return exitCodes.interrupted;
  if (errors.length === 0) return exitCodes.done;
  return errors.every(({ code }) => outsideCodes.has(code)) ? exitCodes.outsideTool : exitCodes.problems;
}
