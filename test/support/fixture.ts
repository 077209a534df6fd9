import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Graph, Stage } from '../../ir/graph.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import type { Tensor } from '../../ir/interpret/tensor.ts';
import { formatProblem, parseGraph } from '../../ir/parse.ts';
import { printGraph } from '../../ir/print.ts';
import { verifyGraph } from '../../ir/verify.ts';
import type { Numerics, Pass } from '../../passes/pass.ts';
import { expectClose } from './expect-close.ts';
import { randomInputs, randomWeight } from './random-tensors.ts';

/**
 * A pass on one page: a title, a graph, and the graph expected.
 *
 * ```
 * two transposes that undo each other are removed
 *
 * // input
 * graph(%x: f32[2,3]) {
 *   …
 * }
 *
 * // output
 * graph(%x: f32[2,3]) {
 *   return %x
 * }
 * ```
 *
 * Where the pass must do nothing, `// unchanged` stands in place of the output. After a change that is meant,
 * `RTC_UPDATE_FIXTURES=1 npx vitest run test/passes` writes what passes give now: read the diff.
 */
export interface Fixture {
  readonly title: string;
  readonly input: Graph;
  readonly inputText: string;
  /** Undefined: the pass leaves the graph as it is. */
  readonly outputText: string | undefined;
}

export interface CheckOptions {
  /** Sizes that symbols must have for the graph to make sense; the others are random. */
  readonly sizes?: Readonly<Record<string, number>>;
  /** For a pass that changes the interface: the new graph's inputs from the old one's. */
  readonly adaptInputs?: (inputs: ReadonlyMap<string, Tensor>) => ReadonlyMap<string, Tensor>;
  /** For a pass that changes the interface: outputs of the new graph as the old one would give them. */
  readonly adaptOutputs?: (outputs: ReadonlyMap<string, Tensor>) => ReadonlyMap<string, Tensor>;
}

export interface CheckResult {
  readonly output: Graph;
  /** What the pass said it did, or did not. */
  readonly notes: readonly string[];
}

/** Paths of the fixtures in test/fixtures/`folder`, sorted, with their titles: for `test.each`. */
export function fixturesIn(folder: string): readonly { readonly title: string; readonly file: string }[] {
  const path = join(import.meta.dirname, '..', 'fixtures', folder);
  const names = readdirSync(path).filter((name) => name.endsWith('.rtc'));
  return names.sort().map((name) => {
    const file = join(path, name);
    return { title: readFileSync(file, 'utf8').split('\n', 1)[0]!, file };
  });
}

export function readFixture(file: string): Fixture {
  const text = readFileSync(file, 'utf8');
  const [head, rest] = splitAt(text, '// input\n');
  expect(rest, `${file} has no line "// input"`).toBeDefined();
  const [input, output] = splitAt(rest!, '// output\n');
  const [inputText, unchanged] = splitAt(input, '// unchanged\n');
  expect((output === undefined) !== (unchanged === undefined), `${file}: either "// output" or "// unchanged"`).toBe(
    true,
  );
  // Blank lines in front keep the line numbers of problems right.
  const before = '\n'.repeat(`${head}// input\n`.split('\n').length - 1);
  return {
    title: head.trim(),
    input: parseOrFail(before + inputText, file),
    inputText: `${inputText.trim()}\n`,
    outputText: output === undefined ? undefined : `${output.trim()}\n`,
  };
}

/**
 * Runs `pass` on the graph of a fixture. The graphs have to be valid and in canonical text, the result as the fixture
 * says, and both have to compute the same on random inputs, as near as the pass promises.
 */
export async function checkFixture<From extends Stage, To extends Stage>(
  pass: Pass<From, To>,
  file: string,
  options: CheckOptions = {},
): Promise<CheckResult> {
  const { input, ...result } = checkFixtureText(pass, file);
  await expectSameNumbers(input, result.output, pass.numerics, options);
  return result;
}

/** As {@link checkFixture}, but for what the graphs compute: where a run of one is no run of the other. */
export function checkFixtureText<From extends Stage, To extends Stage>(
  pass: Pass<From, To>,
  file: string,
): CheckResult & { readonly input: Graph } {
  const fixture = readFixture(file);
  expectValid(fixture.input, file);
  const notes: string[] = [];
  const output = pass.run(fixture.input as Graph<From>, { note: (message) => notes.push(message) });
  expectValid(output, `the result of ${pass.name}`);

  const printed = printGraph(output);
  const again = parseOrFail(printed, `the result of ${pass.name}`);
  expect(printGraph(again), 'the result read back').toBe(printed);
  if (process.env.RTC_UPDATE_FIXTURES === '1') writeFixture(file, fixture, printed);
  else {
    expect(fixture.inputText, `${file}: the input is not as it is printed`).toBe(printGraph(fixture.input));
    expect(printed, 'the result is not the one of the fixture').toBe(fixture.outputText ?? fixture.inputText);
  }
  return { input: fixture.input, output, notes };
}

/** Runs both graphs in the interpreter on random inputs; outputs that both have must agree, and there must be one. */
export async function expectSameNumbers(
  before: Graph,
  after: Graph,
  numerics: Numerics,
  { sizes = {}, adaptInputs = (x) => x, adaptOutputs = (x) => x }: CheckOptions = {},
): Promise<void> {
  const cache = new Map<string, Tensor>();
  for (const seed of ['one', 'two', 'three']) {
    const inputs = randomInputs(before, seed, sizes);
    const options = { readWeight: randomWeight, cache };
    const expected = await interpret(before, inputs, options);
    const found = adaptOutputs(await interpret(after, adaptInputs(inputs), options));
    const common = [...expected.keys()].filter((name) => found.has(name));
    expect(common, 'outputs that can be compared').not.toEqual([]);
    for (const name of common) {
      expectClose(found.get(name)!, expected.get(name)!, numerics === 'exact' ? 0 : 1e-9, name);
    }
  }
}

function expectValid(graph: Graph, what: string): void {
  expect(verifyGraph(graph), `problems of ${what}`).toEqual([]);
}

function parseOrFail(text: string, file: string): Graph {
  const result = parseGraph(text);
  if (!result.ok) expect.fail(result.problems.map((problem) => `${file}:${formatProblem(problem)}`).join('\n'));
  return result.graph;
}

function writeFixture(file: string, { title, input }: Fixture, printed: string): void {
  const inputText = printGraph(input);
  const end = printed === inputText ? '// unchanged\n' : `// output\n${printed}`;
  writeFileSync(file, `${title}\n\n// input\n${inputText}\n${end}`);
}

function splitAt(text: string, marker: string): readonly [before: string, after: string | undefined] {
  const at = text.startsWith(marker) ? 0 : text.indexOf(`\n${marker}`) + 1;
  if (at === 0 && !text.startsWith(marker)) return [text, undefined];
  return [text.slice(0, at), text.slice(at + marker.length)];
}
