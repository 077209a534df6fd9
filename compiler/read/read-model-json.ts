import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { type JsonDocument, type JsonPath, locationOf, showPath, showValue, valueAt } from '../../files/json.ts';
import { issueDiagnostics } from '../../files/json-issues.ts';
import { runOrder, type SaidRecursion } from '../../files/run-order.ts';
import { invariant } from '../../ir/invariant.ts';
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

type Problem = (code: string, path: JsonPath, message: string, hint?: string) => void;

function checkModelJson(document: JsonDocument, model: ModelJson): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const problem: Problem = (code, path, message, hint) => {
    const location = locationOf(document, path);
    problems.push({ severity: 'error', code, location, message, ...(hint === undefined ? {} : { hint }) });
  };
  checkRecursion(model, problem);
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

/** Which layers run, and where tokens may leave. */
function checkRecursion({ recursion, exits }: ModelJson, problem: Problem): void {
  const { layers, norms: _, ...named } = recursion;
  if (layers !== undefined) {
    for (const key of Object.keys(named)) {
      const message = `"recursion.${key}" stands beside "recursion.layers", which says already what runs when.`;
      problem('impossible-recursion', ['recursion', key], message, 'Leave one of the two out.');
    }
    const stored = new Set(layers);
    const largest = Math.max(...layers);
    const unused = Array.from({ length: largest }, (_, i) => i).filter((layer) => !stored.has(layer));
    if (unused.length > 0) {
      const few = unused.slice(0, 8).join(', ');
      const message = `"recursion.layers" goes up to stored layer ${largest}, but never runs ${few}${unused.length > 8 ? ' …' : ''}.`;
      problem('impossible-recursion', ['recursion', 'layers'], message, 'Every stored layer has to run.');
    }
  } else {
    for (const key of ['block', 'loops'] as const) {
      if (recursion[key] !== undefined) continue;
      const message = `The key "recursion.${key}" is missing; a number was expected.`;
      const hint = 'A model whose layers run in an order of their own has a list "layers" instead.';
      problem('missing-key', ['recursion', key], message, hint);
    }
    if (recursion.block === undefined || recursion.loops === undefined) return;
    const { prelude = 0, block, loops, coda = 0 } = recursion;
    const unrolled = prelude + block * loops + coda;
    if (unrolled > maxStoredLayers) {
      const message = `The model has ${unrolled} layers when it is unrolled; at most ${maxStoredLayers} were expected.`;
      problem('impossible-recursion', ['recursion', 'loops'], message);
      return;
    }
  }
  const { loops } = runOrder(saidRecursion(recursion));
  if (exits) checkExits(exits.after, loops, recursion, problem);
}

function checkExits(
  after: readonly number[],
  loops: number,
  { order, layers, loops: saidLoops = 1 }: ModelJson['recursion'],
  problem: Problem,
): void {
  const inOneGo =
    layers !== undefined
      ? '"recursion.layers" repeats no block as a whole'
      : order === 'sequence' && saidLoops > 1
        ? 'by the order "sequence" each layer runs its loops before the next one'
        : undefined;
  after.forEach((loop, i) => {
    const path = ['exits', 'after', i];
    if (loop >= loops) {
      const hint =
        loops === 1 && inOneGo
          ? 'Exits lie between loops of a whole block: share by the order "cycle", or leave "exits" out.'
          : `The block runs ${loops} times, and after the last loop every token leaves.`;
      const message =
        loops === 1
          ? inOneGo
            ? `"${showPath(path)}" is ${loop}, but ${inOneGo}: all layers run in one go, and there is nothing to leave early.`
            : `"${showPath(path)}" is ${loop}, but with one loop there is nothing to leave early.`
          : `"${showPath(path)}" is ${loop}; a loop from 1 to ${loops - 1} was expected.`;
      problem('impossible-exit', path, message, hint);
    } else if (i > 0 && loop <= after[i - 1]!) {
      const message = `"exits.after" must ascend; ${loop} follows ${after[i - 1]}.`;
      problem('impossible-exit', path, message);
    }
  });
}

/** How a model.json that was checked says which layers run. */
export function saidRecursion(recursion: ModelJson['recursion']): SaidRecursion {
  const { prelude = 0, block, loops, coda = 0, order = 'cycle', layers } = recursion;
  if (layers !== undefined) return { layers };
  invariant(block !== undefined && loops !== undefined, 'a model.json without a recursion was let through');
  return { prelude, block, loops, coda, order };
}
