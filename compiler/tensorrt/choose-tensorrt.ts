import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diagnostic, failure, hasErrors, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { readJson, valueAt } from '../../files/json.ts';
import { manifestName, type TensorrtFacts } from '../../files/manifest.ts';
import { hashFile } from '../../files/package.ts';

import { findTrtexec, type Trtexec } from '../../targets/tensorrt/trtexec/find-trtexec.ts';
import { settingsProblems } from '../../targets/tensorrt/trtexec/settings-problems.ts';
import {
  atLeast,
  defaultVersion,
  formatVersion,
  newestVersion,
  parseVersion,
  type TensorrtVersion,
} from '../../targets/tensorrt/versions.ts';
import type { CompileOptions, Form } from '../compile-options.ts';
import { type ChosenDialect, findDialect } from '../lower-model.ts';
import type { SourceModel } from '../read/source-model.ts';
import { timingCacheName } from './build/build-jobs.ts';
import { type StepPolicy, stepPolicy } from './step-policy.ts';
import type { TensorrtOptions } from './tensorrt-options.ts';

/** What a compilation for TensorRT goes by; all of it was checked. */
export interface TensorrtChoice {
  /** Version that graphs are written for, without a patch. */
  readonly version: TensorrtVersion;
  readonly policy: StepPolicy;
  readonly settings: TensorrtFacts['settings'];
  /** What builds engines; undefined where nothing does. */
  readonly trtexec: Trtexec | undefined;
  /** Why nothing builds engines although they are wanted. */
  readonly unbuilt: readonly Diagnostic[];
  /** Path of the timing cache that the package gets; undefined: none. */
  readonly timingCache: string | undefined;
}

/**
 * Everything that can be known before the work: which version, whether there is a trtexec for it, whether the model can
 * do what steps are planned for, whether that version has the flags. What is wrong comes back all at once; a trtexec that
 * is missing is nothing wrong, since the package is written without it.
 * @param out the folder that will be written, as the user names it
 */
export async function chooseTensorrt(
  model: SourceModel,
  form: Form,
  out: string,
  options: CompileOptions,
): Promise<Result<TensorrtChoice>> {
  const { tensorrt = {}, env = process.env, signal } = options;
  const { tensorrtVersion, build = true, trtexec: path } = tensorrt;
  const asked = tensorrtVersion === undefined ? undefined : parseVersion(tensorrtVersion);
  const found = build
    ? await findTrtexec({ env, ...(path !== undefined && { path }), ...(signal && { signal }) })
    : undefined;
  signal?.throwIfAborted();
  const trtexec = found?.ok ? found.value : undefined;
  const { major, minor } = asked ?? trtexec?.version ?? defaultVersion;
  const version = { major, minor };
  const settings = settingsOf(tensorrt);
  const policy = stepPolicy(model, form, options);
  const dialect = findDialect({ ...options, tensorrt: { ...tensorrt, tensorrtVersion: formatVersion(version) } });
  const timing = await chooseTimingCache(out, version, tensorrt, options);
  const tooOld = trtexec !== undefined && !atLeast(trtexec.version, major, minor);
  const problems = [
    ...policy.diagnostics,
    ...dialect.diagnostics,
    ...flagProblems(settings, dialect, version, trtexec && !tooOld ? trtexec.version : version),
    ...timing.diagnostics,
  ];
  if (hasErrors(problems) || !policy.ok || !dialect.ok || !timing.ok) return failure(...problems);
  // Of a trtexec that is newer it says so itself.
  if (asked && atLeast(asked, newestVersion.major, newestVersion.minor + 1)) {
    const message = `TensorRT ${formatVersion(version)} is newer than all that rtc knows, and is treated like ${formatVersion(newestVersion)}.`;
    problems.push({ severity: 'note', code: 'newer-tensorrt', message });
  }
  return success(
    {
      version,
      policy: policy.value,
      settings,
      trtexec: tooOld ? undefined : trtexec,
      unbuilt: found?.ok === false ? found.diagnostics : tooOld ? [olderThan(trtexec, version)] : [],
      timingCache: timing.value,
    },
    [...problems, ...(found?.ok ? found.diagnostics : [])],
  );
}

function settingsOf(options: TensorrtOptions): TensorrtFacts['settings'] {
  const { optimizationLevel, workspace, hardwareCompatibility } = options;
  return {
    tf32: options.tf32 ?? false,
    ...(optimizationLevel !== undefined && { optimizationLevel }),
    ...(workspace !== undefined && { workspace }),
    versionCompatible: options.versionCompatible ?? false,
    ...(hardwareCompatibility !== undefined && { hardwareCompatibility }),
    stripWeights: options.stripWeights ?? false,
    weightStreaming: options.weightStreaming ?? false,
    errorOnTimingCacheMiss: options.errorOnTimingCacheMiss ?? false,
    extra: [...(options.trtexecArguments ?? [])],
  };
}

/** What versions lack: the one that build.sh is written for, and the one that is there. Each flag is told once. */
function flagProblems(
  settings: TensorrtFacts['settings'],
  dialect: Result<ChosenDialect>,
  ...versions: readonly TensorrtVersion[]
): readonly Diagnostic[] {
  const problems = new Map<string, Diagnostic>();
  const attentions = dialect.ok && dialect.value.attention === 'native';
  for (const version of versions) {
    for (const { severity, option, message, hint } of settingsProblems(settings, version, { attentions })) {
      const code = severity === 'error' ? 'unsupported-option' : 'unknown-option';
      if (!problems.has(option)) problems.set(option, { severity, code, message, ...(hint !== undefined && { hint }) });
    }
  }
  return [...problems.values()];
}

/** The file that was named, else what a package of the same version that stands at `out` has. */
async function chooseTimingCache(
  out: string,
  version: TensorrtVersion,
  { timingCache, timingCacheSha256, errorOnTimingCacheMiss }: TensorrtOptions,
  { signal }: CompileOptions,
): Promise<Result<string | undefined>> {
  if (timingCache === undefined) {
    const kept = await keptTimingCache(out, version);
    if (kept !== undefined || !errorOnTimingCacheMiss) return success(kept);
    const message = 'Timings that are not in a timing cache are to be errors, and there is no timing cache.';
    return failure({ severity: 'error', code: 'no-timing-cache', message, hint: 'Name one with --timing-cache.' });
  }
  try {
    if (!(await stat(timingCache)).isFile()) {
      const message = `"${timingCache}" is not a file.`;
      return failure({ severity: 'error', code: 'not-a-file', location: { file: timingCache }, message });
    }
    const sha256 = timingCacheSha256 === undefined ? undefined : await hashFile(timingCache, undefined, signal);
    if (sha256 === timingCacheSha256) return success(timingCache);
    const message = `"${timingCache}" has the SHA-256 ${sha256}, and ${timingCacheSha256} was expected.`;
    return failure({
      severity: 'error',
      code: 'altered-file',
      location: { file: timingCache },
      message,
      hint: 'Take the timing cache that was pinned, or pin this one.',
    });
  } catch (error) {
    signal?.throwIfAborted();
    return failure(fileDiagnostic(error, { file: timingCache }, 'read'));
  }
}

/**
 * Compiling again keeps what was measured: the timing cache of the package that is replaced, where that was written for
 * the same version. Its engines go, as they belong to its graphs.
 */
async function keptTimingCache(out: string, { major, minor }: TensorrtVersion): Promise<string | undefined> {
  const path = join(out, timingCacheName);
  const read = await readJson(join(out, manifestName), manifestName, { maxBytes: 64 * 2 ** 20, maxDepth: 64 });
  if (!read.ok || valueAt(read.value, ['tensorrt', 'version']) !== formatVersion({ major, minor })) return undefined;
  return stat(path).then(
    (found) => (found.isFile() ? path : undefined),
    () => undefined,
  );
}

function olderThan(trtexec: Trtexec, version: TensorrtVersion): Diagnostic {
  return {
    severity: 'error',
    code: 'trtexec-too-old',
    location: { file: trtexec.path },
    message: `trtexec is of TensorRT ${formatVersion(trtexec.version)}, and graphs for ${formatVersion(version)} are asked for.`,
    hint: 'Leave --tensorrt-version out to write for the trtexec that is there, or name a later one with --trtexec.',
  };
}
