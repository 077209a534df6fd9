import { stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { atLeast, formatVersion, newestVersion, oldestVersion, type TensorrtVersion } from '../versions.ts';
import { diagnoseFailure } from './diagnose-failure.ts';
import { logReader } from './log-reader.ts';
import { programProblem } from './program-problem.ts';
import { runProcess } from './run-process.ts';

/** A trtexec that answered. */
export interface Trtexec {
  /** Absolute. */
  readonly path: string;
  /** What it says of itself, with a patch. */
  readonly version: TensorrtVersion;
}

/** Where trtexec is looked for, and how long an answer may take. */
export interface FindOptions {
  /** `--trtexec`: a path, or a name that is looked for on PATH. Nothing else is tried then. */
  readonly path?: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** A minute by default: libraries of some gigabytes may have to come from a slow disk. */
  readonly timeoutMs?: number | undefined;
  /** How long it has to end by itself when its time is over; 5 seconds by default. */
  readonly graceMs?: number | undefined;
  /** Folders where installers put trtexec; those of NVIDIA's packages and containers by default. */
  readonly usualPlaces?: readonly string[] | undefined;
}

const programName = process.platform === 'win32' ? 'trtexec.exe' : 'trtexec';

/** Folders where NVIDIA's packages and containers, and those who unpack its archive, put trtexec. */
export const installPlaces = [
  '/usr/src/tensorrt/bin',
  '/opt/tensorrt/bin',
  '/usr/local/tensorrt/bin',
  '/opt/TensorRT/bin',
] as const;

/** Variables that name the folder TensorRT is installed in, whose `bin` holds trtexec. */
export const homeVariables = ['TENSORRT_HOME', 'TENSORRT_ROOT'] as const;

/**
 * Finds trtexec and asks its version: at `path`, else where `TRTEXEC` says, else on PATH, else in the usual places.
 * Whoever is found first has to answer; nobody else is asked then.
 *
 * Fails with `trtexec-missing` where there is none, `trtexec-too-old` below 10.0, and with other {@link trtexecCodes} where
 * it does not run. A version that rtc has not seen comes with a note.
 */
export async function findTrtexec(options: FindOptions): Promise<Result<Trtexec>> {
  const { path, env } = options;
  const named = path ?? (env.TRTEXEC === undefined || env.TRTEXEC === '' ? undefined : env.TRTEXEC);
  if (named !== undefined) {
    const by = path === undefined ? 'TRTEXEC' : '--trtexec';
    const isName = !named.includes('/') && !named.includes('\\');
    const found = isName ? await firstFile(onPath(env, named)) : undefined;
    const place = found ?? resolve(named);
    const problem = await programProblem(place);
    return problem === undefined ? ask(place, options) : failure(unusable(place, by, problem, isName));
  }
  const { usualPlaces = installPlaces } = options;
  const homes = homeVariables.flatMap((name) => (env[name] ? [join(env[name], 'bin')] : []));
  const candidates = [
    ...onPath(env, programName),
    ...[...homes, ...usualPlaces].map((folder) => join(folder, programName)),
  ];
  const found = await firstFile(candidates);
  if (found === undefined) return failure(nowhere([...homes, ...usualPlaces]));
  const problem = await programProblem(found);
  return problem === undefined ? ask(found, options) : failure(unusable(found, undefined, problem, false));
}

function onPath(env: NodeJS.ProcessEnv, name: string): readonly string[] {
  // An empty entry is the current folder, which is not where a tool should come from.
  return (env.PATH ?? '').split(delimiter).flatMap((folder) => (isAbsolute(folder) ? [join(folder, name)] : []));
}

async function firstFile(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile()) return path;
  }
  return undefined;
}

/**
 * Asks for help: every version prints its banner, with the version, in front of it, exits with 0, and does so without
 * a GPU and without TensorRT's libraries.
 */
async function ask(path: string, { env, signal, graceMs, timeoutMs = 60_000 }: FindOptions): Promise<Result<Trtexec>> {
  const args = ['--help'];
  const reader = logReader();
  const { end } = await runProcess(path, args, { env, signal, timeoutMs, graceMs, onLine: reader.take });
  const summary = reader.summary();
  const { version } = summary;
  if (version === undefined || end.kind === 'aborted') {
    const call = { path, args, folder: process.cwd(), log: undefined, version, describeNode: undefined };
    if (end.kind === 'exited' && end.code === 0) return failure(somethingElse(path, summary.stdoutTail));
    return failure(diagnoseFailure({ ...call, end, summary, phase: undefined, timeoutMs }));
  }
  if (!atLeast(version, oldestVersion.major, oldestVersion.minor)) return failure(tooOld(path, version));
  const isNewer = atLeast(version, newestVersion.major, newestVersion.minor + 1);
  return success({ path, version }, isNewer ? [newer(path, version)] : []);
}

function nowhere(folders: readonly string[]): Diagnostic {
  return {
    severity: 'error',
    code: 'trtexec-missing',
    message: `There is no trtexec on PATH, nor in ${folders.join(', ')}.`,
    hint: "It comes with TensorRT's container, tar and deb, not with its pip package. Name it with --trtexec or TRTEXEC.",
  };
}

function unusable(path: string, by: string | undefined, problem: string, isName: boolean): Diagnostic {
  const missing = problem === 'does not exist';
  const named = by === undefined ? '' : `, which ${by} names,`;
  return {
    severity: 'error',
    code: missing ? 'trtexec-missing' : 'trtexec-failed',
    message:
      missing && isName
        ? `There is no ${path} and none on PATH${named === '' ? '' : `, as ${by} says`}.`
        : `"${path}"${named} ${problem}.`,
    ...(problem === 'is a folder' ? { hint: `Name the program in it: ${join(path, programName)}.` } : {}),
  };
}

function somethingElse(path: string, said: readonly string[]): Diagnostic {
  const [first] = said;
  return {
    severity: 'error',
    code: 'trtexec-failed',
    message: `"${path}" does not say which version of TensorRT it is; it is no trtexec.${first === undefined ? '' : `\n  ${first.slice(0, 200)}`}`,
    hint: 'Name another one with --trtexec or TRTEXEC.',
  };
}

function tooOld(path: string, version: TensorrtVersion): Diagnostic {
  return {
    severity: 'error',
    code: 'trtexec-too-old',
    message: `"${path}" is of TensorRT ${formatVersion(version)}; rtc writes for ${formatVersion(oldestVersion)} and later.`,
    hint: 'Strongly typed networks and int64 came with 10.0. Install a later TensorRT, or name another trtexec with --trtexec.',
  };
}

function newer(path: string, version: TensorrtVersion): Diagnostic {
  return {
    severity: 'note',
    code: 'trtexec-newer',
    message: `"${path}" is of TensorRT ${formatVersion(version)}, which rtc does not know; it is treated like ${formatVersion(newestVersion)}.`,
  };
}
