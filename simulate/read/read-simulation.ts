import { basename } from 'node:path';
import { failure, hasErrors, type Result, success } from '../../files/diagnostics.ts';
import { type JsonDocument, locationOf, readJson, showValue, valueAt } from '../../files/json.ts';
import { issueDiagnostics } from '../../files/json-issues.ts';
import type { StepProfile } from '../../files/step-profile.ts';
import { sequencesThatFit } from '../batch-limit.ts';
import { type ExitShares, sharesOf, sharesOfMean } from '../exit-shares.ts';
import type { Scenario } from '../scenario.ts';
import { type SimulationFile, simulationFileSchema } from '../simulation-file.ts';
import { stepCosts } from '../step-costs.ts';
import { beside } from './beside.ts';
import { checkSimulation } from './check-simulation.ts';
import { drawLengths, drawRequests } from './draw-requests.ts';
import { type Problems, problemsOf } from './problems.ts';
import { readTimes } from './read-times.ts';
import { readTrace, type TracedSequence } from './read-trace.ts';

/** A simulation that can be run. */
export interface Simulation {
  readonly name: string | undefined;
  readonly profile: StepProfile;
  /** Of the tokens that are decoded. */
  readonly exits: ExitShares;
  /** Sequences whose caches fit into memory; undefined: nothing was said of memory. */
  readonly fitting: number | undefined;
  /** One for each number of rows that is to be tried. */
  readonly scenarios: readonly Scenario[];
}

/** So many passes of a row are simulated in some seconds; what takes more is refused. */
const mostWork = 100_000_000;

/** Reads a file for `rtc simulate` and the files that it names; all problems at once. */
export async function readSimulation(path: string): Promise<Result<Simulation>> {
  const read = await readJson(path, path);
  if (!read.ok) return read;
  const document = read.value;
  const format = valueAt(document, ['format']);
  if (format !== 'rtc-simulation') return failure(wrongFormat(document, format));
  const parsed = simulationFileSchema.safeParse(document.value);
  if (!parsed.success) return failure(...issueDiagnostics(document, parsed.error.issues, simulationFileSchema));
  const file = parsed.data;
  const problems = problemsOf(document);
  checkSimulation(problems, file);
  const times = await readTimes(document, file.times);
  const { trace: named } = file.exits;
  const trace = named === undefined ? success(undefined) : await readTrace(beside(path, named), file.loops);
  if (times.ok) checkTimes(problems, file, times.value);
  const diagnostics = [...problems.all(), ...times.diagnostics, ...trace.diagnostics];
  if (!times.ok || !trace.ok || hasErrors(diagnostics)) return failure(...diagnostics);
  const made = simulationOf(file, times.value, trace.value, problems);
  return made === undefined ? failure(...problems.all()) : success(made, diagnostics);
}

function simulationOf(
  file: SimulationFile,
  profile: StepProfile,
  trace: readonly TracedSequence[] | undefined,
  problems: Problems,
): Simulation | undefined {
  const { loops, limits, workload, decision, kvPolicy, rowOrder, prefillChunk } = file;
  const exitsAfter = file.exitsAfter ?? Array.from({ length: loops - 1 }, (_, i) => i + 1);
  const costs = stepCosts(profile);
  const lengths = drawLengths(workload, trace);
  const tokens = lengths.reduce((sum, { newTokens }) => sum + newTokens, 0);
  if (tokens * loops > mostWork) {
    const message = `The workload has ${tokens} tokens of ${loops} loops; at most ${mostWork} passes were expected.`;
    problems.add('too-much-work', ['workload', 'newTokens'], message, 'A tenth of it gives the same rates.');
    return undefined;
  }
  const given =
    file.exits.shares ?? (file.exits.mean === undefined ? undefined : sharesOfMean(file.exits.mean, loops, exitsAfter));
  const requests = drawRequests(workload, lengths, trace ?? given!, costs.prompt !== undefined);
  const exits = given ?? sharesOf(decodedExits(requests), loops);
  if (exits === undefined) {
    problems.add('nothing-to-do', ['exits', 'trace'], 'No sequence of the trace has a token behind its first.');
    return undefined;
  }
  // Memory holds a sequence to its end, so the longest one counts.
  const positions = Math.max(...lengths.map(({ promptTokens, newTokens }) => promptTokens + newTokens));
  const fitting = limits.memory && sequencesThatFit(limits.memory, positions, kvPolicy === 'shared' ? 1 : loops);
  if (fitting === 0) {
    const message = `Not even one sequence of ${positions} positions fits into ${limits.memory!.bytes} bytes beside weights and workspace.`;
    problems.add('out-of-memory', ['limits', 'memory', 'bytes'], message);
    return undefined;
  }
  const common = { loops, exitsAfter, costs, requests, rowOrder, kvPolicy, decision, prefillChunk };
  const wanted = limits.maxRows ?? Math.min(fitting!, requests.length);
  const scenarios = (typeof wanted === 'number' ? [wanted] : wanted).map((maxRows): Scenario => {
    const maxSequences = Math.min(limits.maxSequences ?? maxRows, fitting ?? Number.POSITIVE_INFINITY);
    return { ...common, maxRows, maxSequences };
  });
  return {
    name: file.name,
    profile,
    exits,
    fitting: fitting === Number.POSITIVE_INFINITY ? undefined : fitting,
    scenarios,
  };
}

function* decodedExits(requests: Simulation['scenarios'][number]['requests']): Generator<number> {
  for (const { exits } of requests) yield* Array.from(exits);
}

function checkTimes(problems: Problems, { decision, kvPolicy, loops }: SimulationFile, profile: StepProfile): void {
  const missing = (list: 'heads' | 'propagate', because: string) => {
    if (profile[list] !== undefined || loops === 1) return;
    problems.add('missing-times', ['times', list], `The times have no "${list}", which ${because} needs.`);
  };
  if (decision === 'confidence') missing('heads', 'the decision by confidence');
  if (kvPolicy === 'propagate') missing('propagate', 'the KV policy propagate');
}

function wrongFormat(document: JsonDocument, format: unknown) {
  const has = (key: string) => valueAt(document, [key]) !== undefined;
  if (format === undefined && (has('passes') || has('profile'))) {
    const name = basename(document.file);
    return {
      severity: 'error',
      code: 'wrong-format',
      location: locationOf(document, []),
      message: `"${document.file}" has the times of a simulation, and is none itself.`,
      hint: [
        'Name it in one, as "times"; "rtc simulate --help" has all keys:',
        `{ "format": "rtc-simulation", "version": 1, "loops": 3, "times": { "file": ${JSON.stringify(name)} },`,
        '  "exits": { "mean": 1.76 }, "workload": { "sequences": 100, "newTokens": 128 }, "limits": { "maxRows": [8, 32] } }',
      ].join('\n'),
    } as const;
  }
  const found = format === undefined ? 'its key "format" is missing' : `its format is ${showValue(format)}`;
  return {
    severity: 'error',
    code: 'wrong-format',
    location: locationOf(document, ['format']),
    message: `"${document.file}" is no simulation: ${found}; "rtc-simulation" was expected.`,
    hint: '"rtc simulate --help" shows a small one.',
  } as const;
}
