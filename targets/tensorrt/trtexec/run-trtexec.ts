import { type FileHandle, open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import type { TensorrtVersion } from '../versions.ts';
import type { DescribeNode } from './describe-node.ts';
import { diagnoseFailure } from './diagnose-failure.ts';
import type { Trtexec } from './find-trtexec.ts';
import { logFile } from './log-file.ts';
import { logReader, type TrtexecPerformance } from './log-reader.ts';
import type { TrtexecPhase } from './read-log.ts';
import { runProcess } from './run-process.ts';

/** How trtexec is run. */
export interface RunOptions {
  /** Paths in its arguments are relative to this folder. */
  readonly cwd: string;
  /** The whole environment; this process' own by default. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** File for its output as it comes, replaced; relative to this process' folder, not to `cwd`. */
  readonly log?: string | undefined;
  /** It and all that it started are stopped after that long; never by default. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How long it has to end by itself when it is stopped; 5 seconds by default. */
  readonly graceMs?: number | undefined;
  /** Hears what it does when it begins with it. */
  readonly onProgress?: ((phase: TrtexecPhase) => void) | undefined;
  /** Says in rtc's words what a node is that TensorRT names: see `nodeDescriber`. */
  readonly describeNode?: DescribeNode | undefined;
}

/** What a run of trtexec that went well tells. */
export interface TrtexecRun {
  /** From start to end. */
  readonly seconds: number;
  readonly version: TensorrtVersion | undefined;
  /** Name of the GPU that it took. */
  readonly gpu: string | undefined;
  /** `9.0` */
  readonly computeCapability: string | undefined;
  /** Size of the engine as printed, which has six digits of MiB. */
  readonly engineBytes: number | undefined;
  /** What the build alone took. */
  readonly buildSeconds: number | undefined;
  /** Those that say something about what was asked for, or about how far numbers can be trusted. */
  readonly warnings: readonly string[];
  readonly performance: TrtexecPerformance | undefined;
}

/**
 * Runs trtexec to its end; the only function that does. It went well when its exit code is 0, the file of `--saveEngine` is
 * there, and it could read back what it had written there, which its exit code does not tell.
 *
 * On failure the file of `--saveEngine` may be there in part: it is for the caller to take away. Nothing that trtexec started
 * outlives the call. Fails with {@link trtexecCodes}, with `interrupted`, or with a file's code where the log cannot be opened.
 */
export async function runTrtexec(
  trtexec: Trtexec,
  args: readonly string[],
  options: RunOptions,
): Promise<Result<TrtexecRun>> {
  const { cwd, log, timeoutMs, onProgress } = options;
  let file: FileHandle | undefined;
  try {
    if (log !== undefined && !options.signal?.aborted) file = await open(log, 'w');
  } catch (cause) {
    return failure(fileDiagnostic(cause, { file: log! }, 'write'));
  }
  const writer = file && logFile(file);
  const reader = logReader();
  let phase: TrtexecPhase | undefined;
  try {
    const { end, seconds } = await runProcess(trtexec.path, args, {
      ...{ cwd, timeoutMs, log: writer },
      ...{ env: options.env, signal: options.signal, graceMs: options.graceMs },
      onLine(stream, line) {
        const next = reader.take(stream, line);
        if (next === undefined) return;
        phase = next;
        onProgress?.(next);
      },
    });
    const summary = reader.summary();
    const version = summary.version ?? trtexec.version;
    const notes = writer?.error() === undefined ? [] : [unloggedWarning(writer.error(), log!)];
    const call = { path: trtexec.path, args, folder: cwd, log, version, describeNode: options.describeNode };
    const failed = { ...call, end, summary, phase, timeoutMs };
    const isDone = end.kind === 'exited' && end.code === 0;
    // From 10.13 on it goes on when a build has failed, finds that there is nothing to load, and exits with 0.
    const unreadable = summary.errors.some((line) => /^Engine (?:deserialization failed|is empty)/.test(line));
    if (!isDone || unreadable) return failure(diagnoseFailure(failed), ...notes);
    const missing = await missingEngine(cwd, args);
    if (missing !== undefined) return failure(diagnoseFailure({ ...failed, missing }), ...notes);
    const { gpu, computeCapability, engineBytes, buildSeconds, warnings, performance } = summary;
    return success(
      { seconds, version: summary.version, gpu, computeCapability, engineBytes, buildSeconds, warnings, performance },
      notes,
    );
  } finally {
    await file?.close();
  }
}

/** The file of `--saveEngine`, where it is not there or empty. */
async function missingEngine(cwd: string, args: readonly string[]): Promise<string | undefined> {
  const saved = args.find((arg) => arg.startsWith('--saveEngine='))?.slice('--saveEngine='.length);
  if (saved === undefined) return undefined;
  const found = await stat(resolve(cwd, saved)).catch(() => undefined);
  return found?.isFile() && found.size > 0 ? undefined : saved;
}

function unloggedWarning(cause: unknown, log: string): Diagnostic {
  const { message, code } = fileDiagnostic(cause, { file: log }, 'write');
  return {
    severity: 'warning',
    code,
    location: { file: log },
    message: `trtexec's output is not kept as a whole. ${message}`,
  };
}
