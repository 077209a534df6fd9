import type { GraphTensor } from '../../../files/manifest.ts';
import { type Dim, evaluateDim, monomialsOf } from '../../../ir/dims.ts';
import type { Profile, ShapeRange } from '../engine-plan.ts';

/** Sizes that an engine has in one of the three lists of a profile: by input, and by name where they are known. */
type Selector = keyof ShapeRange;

const selectors: readonly Selector[] = ['min', 'opt', 'max'];

/** A size that trtexec cannot read is larger: it reads 32 bits. */
const largestSize = 2 ** 31 - 1;

/** The only size that may be 0: a prompt begins behind nothing. */
const mayBeNothing = new Set(['past']);

/**
 * What keeps profiles from being those of a graph, each in a sentence; none where all is well. Found is: an input that is
 * missing or too many, a rank or a fixed size that differs, a range that does not grow, a size that is no whole number, 0
 * or beyond 31 bits, and at min, opt and max each: a name with two sizes, a sum or product that does not come out, more
 * rows listed than there are, more heads than tokens.
 */
export function profileProblems(inputs: readonly GraphTensor[], profiles: readonly Profile[]): readonly string[] {
  const names = profiles.map(({ name }) => name);
  const problems = profiles.flatMap((profile) =>
    problemsOf(inputs, profile).map((problem) => `Profile "${profile.name}": ${problem}`),
  );
  if (new Set(names).size < names.length) problems.push(`Two profiles have one name: ${names.join(', ')}.`);
  if (names.length === 0) problems.push('There is no profile.');
  return problems;
}

function problemsOf(inputs: readonly GraphTensor[], profile: Profile): readonly string[] {
  const problems: string[] = [];
  const dynamic = inputs.filter(({ dims }) => dims.some((dim) => typeof dim !== 'number'));
  const known = new Map(dynamic.map((input) => [input.name, input] as const));
  for (const name of Object.keys(profile.inputs)) {
    if (!known.has(name)) problems.push(`"${name}" is no input of the graph that has a size to choose.`);
  }
  const whole: GraphTensor[] = [];
  for (const input of dynamic) {
    const range = profile.inputs[input.name];
    if (!range) {
      problems.push(`the input "${input.name}" is missing.`);
      continue;
    }
    const found = rangeProblems(input, range);
    problems.push(...found);
    if (found.length === 0) whole.push(input);
  }
  // Relations of sizes that are none would say the same again.
  if (whole.length < dynamic.length) return problems;
  for (const selector of selectors) {
    const sizes = whole.map((input) => ({ ...input, sizes: profile.inputs[input.name]![selector] }));
    problems.push(...relationProblems(sizes).map((problem) => `at ${selector}, ${problem}`));
  }
  return problems;
}

function rangeProblems({ name, dims }: GraphTensor, range: ShapeRange): readonly string[] {
  const problems: string[] = [];
  for (const selector of selectors) {
    const sizes = range[selector];
    if (sizes.length !== dims.length) {
      problems.push(`"${name}" has ${dims.length} sizes, and ${selector} gives ${sizes.length}.`);
    }
  }
  if (problems.length > 0) return problems;
  for (const [axis, dim] of dims.entries()) {
    const at = (selector: Selector) => range[selector][axis]!;
    const where = `size ${axis} of "${name}" (${dim})`;
    for (const selector of selectors) {
      const size = at(selector);
      const least = mayBeNothing.has(String(dim)) ? 0 : 1;
      if (!Number.isInteger(size) || size < least) problems.push(`${where} is ${size} at ${selector}.`);
      else if (size > largestSize) {
        problems.push(`${where} is ${size} at ${selector}, and trtexec reads sizes up to ${largestSize}.`);
      } else if (typeof dim === 'number' && size !== dim) problems.push(`${where} is ${size} at ${selector}.`);
    }
    if (at('min') > at('opt') || at('opt') > at('max')) {
      problems.push(`${where} goes from ${at('min')} over ${at('opt')} to ${at('max')}, which does not grow.`);
    }
  }
  return problems;
}

type SizedInput = GraphTensor & { readonly sizes: readonly number[] };

function relationProblems(inputs: readonly SizedInput[]): readonly string[] {
  const problems: string[] = [];
  const named = new Map<string, { readonly size: number; readonly from: string }>();
  const open: { readonly dim: Dim; readonly size: number; readonly from: string }[] = [];
  for (const { name, dims, sizes } of inputs) {
    for (const [axis, dim] of dims.entries()) {
      if (typeof dim === 'number') continue;
      const size = sizes[axis]!;
      const [only, ...others] = monomialsOf(dim);
      const single = others.length === 0 && only?.coefficient === 1 && only.symbols.length === 1;
      if (!single) {
        open.push({ dim, size, from: name });
        continue;
      }
      const before = named.get(String(dim));
      if (before === undefined) named.set(String(dim), { size, from: name });
      else if (before.size !== size) {
        problems.push(`${dim} is ${before.size} in "${before.from}" and ${size} in "${name}".`);
      }
    }
  }
  const values = new Map([...named].map(([name, { size }]) => [name, size] as const));
  for (const { dim, size, from } of open) {
    const unknown = monomialsOf(dim).flatMap(({ symbols }) => symbols.filter((symbol) => !values.has(symbol)));
    if (unknown.length > 0) {
      problems.push(`${dim} of "${from}" has ${unknown.join(', ')} in it, which is no size of its own anywhere.`);
      continue;
    }
    const expected = evaluateDim(dim, values);
    if (expected !== size) problems.push(`${dim} of "${from}" is ${size}, and its parts make ${expected}.`);
  }
  return [...problems, ...listProblems(inputs, values)];
}

/** Lists of rows name each row once, and heads each token: what a step could not use must not be tuned for either. */
function listProblems(inputs: readonly SizedInput[], values: ReadonlyMap<string, number>): readonly string[] {
  const ids = inputs.find(({ name }) => name === 'input_ids');
  if (!ids) return [];
  const [rows = 0, tokens = 0] = ids.sizes;
  const limits = [
    ['heads', rows * tokens, `${rows} rows of ${tokens} tokens`],
    ['entering', rows, `${rows} rows`],
    ['leaving', rows, `${rows} rows`],
  ] as const;
  return limits.flatMap(([name, most, of]) => {
    const size = values.get(name);
    return size === undefined || size <= most ? [] : [`${name} is ${size}, of ${of}.`];
  });
}
