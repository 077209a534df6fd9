import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diagnostic, failure, hasErrors, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { locationOf, readJson } from '../../../files/json.ts';
import { issueDiagnostics } from '../../../files/json-issues.ts';
import type { PackageManifest, TensorrtFacts } from '../../../files/manifest.ts';
import { type PlanStamp, planStampSchema, stampName } from '../../../files/plan-stamp.ts';

/**
 * The engines that a package has: those that rtc.json lists, and those that build.sh built since, which leaves a stamp
 * beside each. In the order of `tensorrt.engines`; none for a package that is meant for no engines. Sizes of files are
 * compared, their bytes are not: {@link planFileProblems} reads them.
 * @param folder as the user names it
 */
export async function readPlans(folder: string, manifest: PackageManifest): Promise<Result<readonly PlanStamp[]>> {
  const stamps: PlanStamp[] = [];
  const problems: Diagnostic[] = [];
  for (const engine of manifest.tensorrt?.engines ?? []) {
    const beside = await readStamp(join(folder, stampName(engine.plan)), engine);
    problems.push(...beside.diagnostics);
    // A stamp beside the engine is the newer one: rtc removes those of engines that it replaces.
    const stamp = (beside.ok ? beside.value : undefined) ?? manifest.plans?.find(({ file }) => file === engine.plan);
    if (!beside.ok || stamp === undefined) continue;
    const problem = await sizeProblem(join(folder, stamp.file), stamp);
    if (problem) problems.push(problem);
    else stamps.push(stamp);
  }
  return hasErrors(problems) ? failure(...problems) : success(stamps, problems);
}

/** What build.sh says of an engine; undefined where it says nothing. */
async function readStamp(
  path: string,
  engine: TensorrtFacts['engines'][number],
): Promise<Result<PlanStamp | undefined>> {
  const read = await readJson(path, path, { maxBytes: 2 ** 20, maxDepth: 16 });
  if (!read.ok) return read.diagnostics[0]?.code === 'missing-file' ? success(undefined) : read;
  const parsed = planStampSchema.safeParse(read.value.value);
  if (!parsed.success) return failure(...issueDiagnostics(read.value, parsed.error.issues, planStampSchema));
  const stamp = parsed.data;
  for (const [key, expected, found] of [
    ['file', engine.plan, stamp.file],
    ['graph', engine.graph, stamp.graph],
  ] as const) {
    if (expected === found) continue;
    const location = locationOf(read.value, [key]);
    const message = `This is said of the ${key} "${found}", and "${expected}" was expected.`;
    return failure({ severity: 'error', code: 'invalid-stamp', location, message, hint: buildAgain });
  }
  return success(stamp);
}

async function sizeProblem(path: string, stamp: PlanStamp): Promise<Diagnostic | undefined> {
  const location = { file: path };
  try {
    const found = await stat(path);
    if (!found.isFile())
      return { severity: 'error', code: 'not-a-file', location, message: `"${path}" is not a file.` };
    if (found.size === stamp.size) return undefined;
    const message = `"${path}" has ${found.size} bytes, and the engine that was built had ${stamp.size}.`;
    const code = found.size < stamp.size ? 'truncated-file' : 'altered-file';
    return { severity: 'error', code, location, message, hint: buildAgain };
  } catch (error) {
    return { ...fileDiagnostic(error, location, 'read'), hint: buildAgain };
  }
}

const buildAgain = 'Run build.sh in the package, or compile the model again on the machine with the GPU.';
