import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { type JsonDocument, type JsonPath, locationOf, showPath, showValue, valueAt } from '../../files/json.ts';
import { issueDiagnostics } from '../../files/json-issues.ts';
import { maxStoredLayers } from '../architectures/gated-decoder.ts';
import { type ModelJson, modelJsonSchema } from './model-json.ts';

/** Checks a parsed model.json, by its schema and by what a schema cannot say; all problems at once. */
export function readModelJson(document: JsonDocument): Result<ModelJson> {
  const format = valueAt(document, ['format']);
  if (format !== 'rtc-model') {
    // Any other complaint about a file of another format would only confuse.
    const message =
      format === undefined
        ? `"${document.file}" is not an rtc model: its key "format" is missing; "rtc-model" was expected.`
        : `"${document.file}" is not an rtc model: its format is ${showValue(format)}; "rtc-model" was expected.`;
    const hint = 'For an ordinary Hugging Face model, name its folder.';
    return failure({
      severity: 'error',
      code: 'wrong-format',
      location: locationOf(document, ['format']),
      message,
      hint,
    });
  }
  const parsed = modelJsonSchema.safeParse(document.value);
  if (!parsed.success) return failure(...issueDiagnostics(document, parsed.error.issues, modelJsonSchema));
  const problems = checkModelJson(document, parsed.data);
  return problems.length > 0 ? failure(...problems) : success(parsed.data);
}

function checkModelJson(document: JsonDocument, model: ModelJson): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const problem = (code: string, path: JsonPath, message: string, hint?: string) => {
    const location = locationOf(document, path);
    problems.push({ severity: 'error', code, location, message, ...(hint === undefined ? {} : { hint }) });
  };
  const { prelude, block, loops, coda } = model.recursion;
  const unrolled = prelude + block * loops + coda;
  if (unrolled > maxStoredLayers) {
    const message = `The model has ${unrolled} layers when it is unrolled; at most ${maxStoredLayers} were expected.`;
    problem('impossible-recursion', ['recursion', 'loops'], message);
  }
  const after = model.exits?.after ?? [];
  after.forEach((loop, i) => {
    const path = ['exits', 'after', i];
    if (loop >= loops) {
      const message =
        loops === 1
          ? `"${showPath(path)}" is ${loop}, but with one loop there is nothing to leave early.`
          : `"${showPath(path)}" is ${loop}; a loop from 1 to ${loops - 1} was expected.`;
      problem(
        'impossible-exit',
        path,
        message,
        `The block runs ${loops} times, and after the last loop every token leaves.`,
      );
    } else if (i > 0 && loop <= after[i - 1]!) {
      const message = `"exits.after" must ascend; ${loop} follows ${after[i - 1]}.`;
      problem('impossible-exit', path, message);
    }
  });
  for (const [path, list] of [
    [['weights'], model.weights],
    [['lora', 'targets'], model.lora?.targets ?? []],
  ] as const) {
    list.forEach((item, i) => {
      if (list.indexOf(item) < i)
        problem('duplicate-entry', [...path, i], `"${item}" stands twice in "${showPath(path)}".`);
    });
  }
  return problems;
}
