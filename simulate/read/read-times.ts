import { z } from 'zod';
import { failure, hasErrors, type Result, success } from '../../files/diagnostics.ts';
import { type JsonDocument, type JsonPath, readJson, valueAt } from '../../files/json.ts';
import { issueDiagnostics } from '../../files/json-issues.ts';
import { type StepProfile, stepProfileSchema } from '../../files/step-profile.ts';
import type { SimulationFile } from '../simulation-file.ts';
import { beside } from './beside.ts';
import { type Problems, problemsOf } from './problems.ts';

/** The times of a simulation: those that stand in it, or those of the file that it names. */
export async function readTimes(
  document: JsonDocument,
  { file, passes, ...rest }: SimulationFile['times'],
): Promise<Result<StepProfile>> {
  const problems = problemsOf(document);
  if (file === undefined) {
    if (passes === undefined) {
      const message = 'The key "times.passes" is missing; times of passes were expected, or a "file" that has them.';
      problems.add('missing-key', ['times', 'passes'], message);
      return failure(...problems.all());
    }
    const profile = { ...rest, passes };
    checkOrder(problems, ['times'], profile);
    return hasErrors(problems.all()) ? failure(...problems.all()) : success(profile);
  }
  const others = Object.keys({ ...rest, ...(passes && { passes }) });
  if (others.length > 0) {
    const message = `"times" names a file and has "${others[0]}" as well; one of the two was expected.`;
    problems.add('two-sources', ['times', others[0]!], message);
  }
  const read = await readProfile(beside(document.file, file));
  const diagnostics = [...problems.all(), ...read.diagnostics];
  return read.ok && !hasErrors(diagnostics) ? success(read.value, diagnostics) : failure(...diagnostics);
}

/** Documents of `rtc bench` have more in them. */
const profileInsideSchema = z.object({ profile: stepProfileSchema });

/** Reads a profile, or a document of `rtc bench` that has one. */
export async function readProfile(file: string): Promise<Result<StepProfile>> {
  const read = await readJson(file, file, { maxBytes: 256 * 2 ** 20, maxDepth: 64 });
  if (!read.ok) return read;
  const document = read.value;
  const inside = valueAt(document, ['profile']) !== undefined;
  if (!inside && valueAt(document, ['passes']) === undefined) {
    return failure({
      severity: 'error',
      code: 'wrong-format',
      location: { file },
      message: `"${file}" has no times: neither "passes" nor a "profile" that has them.`,
      hint: 'Write one with "rtc bench PACKAGE --profile --json".',
    });
  }
  const schema = inside ? profileInsideSchema : stepProfileSchema;
  const parsed = schema.safeParse(document.value);
  if (!parsed.success) return failure(...issueDiagnostics(document, parsed.error.issues, schema));
  const profile = 'profile' in parsed.data ? parsed.data.profile : parsed.data;
  const problems = problemsOf(document);
  checkOrder(problems, inside ? ['profile'] : [], profile);
  return hasErrors(problems.all()) ? failure(...problems.all()) : success(profile);
}

/** Between two entries time is linear, so they must ascend. */
function checkOrder(problems: Problems, path: JsonPath, profile: StepProfile): void {
  const check = <K extends string>(list: string, key: K, entries: readonly Readonly<Record<K, number>>[] = []) =>
    entries.forEach((entry, i) => {
      if (i === 0 || entry[key] > entries[i - 1]![key]) return;
      const message = `"${list}" must ascend by "${key}"; ${entry[key]} follows ${entries[i - 1]![key]}.`;
      problems.add('wrong-order', [...path, list, i, key], message);
    });
  check('passes', 'rows', profile.passes);
  check('heads', 'heads', profile.heads);
  check('prompt', 'tokens', profile.prompt);
  check('propagate', 'tokens', profile.propagate);
}
