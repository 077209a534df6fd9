import { type Diagnostic, failure, type Location, type Result, success } from '../../files/diagnostics.ts';
import { type JsonDocument, type JsonPath, locationOf, readJson, showValue, valueAt } from '../../files/json.ts';

/**
 * Reads the exits of an earlier run, one list of loops a sequence: `[[2,1,1],[2,2]]`, or what `rtc run --json` printed.
 * All that is wrong with it comes back with its place: a loop that the model does not have, too many or too few lists.
 * @param sequences how many lists there have to be; undefined: one or more
 * @param loops of the model
 */
export async function readExitTrace(
  path: string,
  sequences: number | undefined,
  loops: number,
): Promise<Result<readonly (readonly number[])[]>> {
  const read = await readJson(path, path);
  if (!read.ok) return read;
  const found = lists(read.value);
  if (found === undefined) {
    const at = locationOf(read.value, []);
    const message = `${showValue(read.value.value)} stands where exits were expected.`;
    const hint = 'Give lists of loops, one a sequence, such as [[2,1,1],[2,2]], or what "rtc run --json" printed.';
    return failure({ ...invalid(at, message), hint });
  }
  if (sequences === undefined ? found.length === 0 : found.length !== sequences) {
    const message = `There are ${found.length} lists of exits in it for ${sequences ?? 'all'} sequences.`;
    return failure(invalid(locationOf(read.value, []), message));
  }
  const problems = found.flatMap((place) => checkList(read.value, place, loops));
  if (problems.length > 0) return failure(...problems);
  return success(found.map((place) => valueAt(read.value, place) as readonly number[]));
}

/** Where the lists are, if this looks like one of the two forms. */
function lists(document: JsonDocument): readonly JsonPath[] | undefined {
  const whole = valueAt(document, []);
  if (Array.isArray(whole)) return whole.map((_, i) => [i]);
  const within = valueAt(document, ['sequences']);
  return Array.isArray(within) ? within.map((_, i) => ['sequences', i, 'exits']) : undefined;
}

function checkList(document: JsonDocument, place: JsonPath, loops: number): readonly Diagnostic[] {
  const list = valueAt(document, place);
  if (!Array.isArray(list)) {
    return [invalid(locationOf(document, place), `${showValue(list)} stands where a list of loops was expected.`)];
  }
  const wrong = list.findIndex((loop) => !(Number.isInteger(loop) && loop >= 1 && loop <= loops));
  if (wrong < 0) return [];
  const message = `${showValue(list[wrong])} is no loop to exit at; the model has loops 1 to ${loops}.`;
  return [invalid(locationOf(document, [...place, wrong]), message)];
}

function invalid(location: Location, message: string): Diagnostic {
  return { severity: 'error', code: 'invalid-exit-trace', location, message };
}
