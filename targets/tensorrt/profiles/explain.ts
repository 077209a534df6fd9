import type { EnginePlan, Profile } from '../engine-plan.ts';
import type { ProfilePolicy } from './policy.ts';
import { steadyState } from './steady-state.ts';
import { pagesOfAllSlots, pagesOfContext } from './step-profiles.ts';

/**
 * Why profiles have the sizes that they have, for a person: from slots and exits to what each is tuned for. One line for
 * a step in the steady state, one each for heads, context and pages where there are any, and one for each profile.
 */
export function explainProfiles(policy: ProfilePolicy, engines: readonly EnginePlan[]): readonly string[] {
  const inputs = engines.flatMap(({ profiles }) => profiles.flatMap((profile) => Object.entries(profile.inputs)));
  const has = (input: string) => inputs.some(([name]) => name === input);
  const lines = has('hidden') ? stepLines(policy, has) : unrolledLines(policy);
  for (const { plan, graph, profiles } of engines) {
    lines.push(`${plan}, from ${graph}:`);
    for (const [number, profile] of profiles.entries()) lines.push(`  ${number} ${describe(profile)}`);
  }
  const zero = inputs.some(([, { min }]) => min.includes(0));
  if (zero) lines.push('past is 0 at least in prefill, as a prompt begins behind nothing.');
  const pages = largestPages(inputs);
  if (pages > 0)
    lines.push(`All pages hold ${count(pages)} numbers: ${size(pages, 2)} of 16 bits, ${size(pages, 4)} of 32.`);
  const large = largeTensors(inputs);
  if (large.length > 0) {
    lines.push(
      `${large[0]}${large.length === 1 ? ' has' : ` and ${plural(large.length - 1, 'other input')} have`} more than 2^31 - 1 numbers at max, which layers of TensorRT before 10.10 refuse, and some of later ones.`,
    );
  }
  return lines;
}

function stepLines(policy: ProfilePolicy, has: (input: string) => boolean): string[] {
  const { maxRows, exits, loops, groups, pageSize, maxContext } = policy;
  const { meanLoops, rows, entering, leaving, asking, skipped } = steadyState(policy);
  const shares = exits.map((share, i) => `${percent(share)} behind loop ${i + 1}`).join(', ');
  const early = exits.slice(0, -1).some((share) => share > 0);
  const lines = [
    loops === 1
      ? `Slots: ${maxRows}. There is one loop: every row enters and leaves in every step.`
      : `Slots: ${maxRows}. Tokens leave ${early ? `${shares}: after ${decimal(meanLoops)} of ${loops} loops on average` : `behind loop ${loops}, as no share is told to leave earlier`}.`,
    `Steady state: ${plural(rows, 'row')} a step, one a slot and at any depth; of these ${entering} enter and ${leaving} leave.`,
    `Heads: ${early ? 'each row at an exit is asked whether it leaves' : 'rows that leave have a token chosen'}: ${asking} of ${rows}. Up to all tokens of a prompt may ask, as in rtc verify.`,
  ];
  if (has('entering_rows'))
    lines.push(`Prelude: runs for the rows that enter, tuned for ${entering}; where none does, for an idle row more.`);
  if (has('leaving_rows')) lines.push(`Coda: runs for the rows that leave or ask, tuned for ${asking}.`);
  const pages = pagesOfContext(policy);
  const { block, boundary } = pagesOfAllSlots(policy);
  lines.push(
    `Context: ${plural(maxContext, 'position')} ${maxContext === 1 ? 'is' : 'are'} ${plural(pages, 'page')} of ${pageSize}; the longest of ${plural(rows, 'row')} has ${rows}/${rows + 1} of it on average.`,
    `Pages: ${maxRows} slots x ${plural(loops, 'depth')} x ${pages} and page 0: ${block}${
      has('boundary_page_table') ? `; for prelude and coda ${maxRows} x ${pages} and page 0: ${boundary}` : ''
    }.`,
  );
  if (groups > 1) {
    lines.push(
      `Groups: rows attend in ${groups} groups, dealt evenly by length; each has at least a row, so a step has ${groups} at least.`,
    );
  }
  if (early && loops > 1) {
    lines.push(
      `Propagation: ${leaving} leave and skip ${decimal(loops - meanLoops)} depths on average: tuned for ${plural(skipped, 'state')}, at most ${maxRows * Math.max(1, loops - 1)}.`,
    );
  }
  return lines;
}

function unrolledLines(policy: ProfilePolicy): string[] {
  const { maxRows, maxContext } = policy;
  const { rows } = steadyState(policy);
  return [
    `Slots: ${maxRows}. Every token runs all loops: a decoding step has ${plural(rows, 'row')} of one token.`,
    `Context: ${maxContext} positions; the longest of ${plural(rows, 'row')} has ${rows}/${rows + 1} of it on average, and all are padded to it.`,
  ];
}

/** Told of on a line of its own, or by the sizes of input_ids. */
const toldElsewhere =
  /^(hidden|depth|position_ids|past_length|attention_mask|boundary_page_table|(key|value)_pages\..*)$/;

/** `decode: input_ids 1x1 to 16x1; page_table 1x1 to 16x64, tuned for 16x61; …`, of what differs from input to input. */
function describe({ name, inputs }: Profile): string {
  // Of propagate.onnx all inputs have the same one size.
  const shown =
    'input_ids' in inputs
      ? Object.entries(inputs).filter(([input]) => !toldElsewhere.test(input))
      : Object.entries(inputs).slice(-1);
  const parts = new Set(
    shown.map(([input, { min, opt, max }]) => {
      const past = input.startsWith('past_key_values.');
      // Past is told once for all layers, by the one size that is free.
      const [low, usual, high] = [min, opt, max].map((sizes) => (past ? `${sizes[2]}` : sizes.join('x')));
      const range = low === high ? `${low}` : `${low} to ${high}`;
      return `${past ? 'past' : input} ${range}${usual === high ? '' : `, tuned for ${usual}`}`;
    }),
  );
  return `${name}: ${[...parts].join('; ')}`;
}

/** Inputs that may have more numbers than 31 bits count: many kernels address no more of a tensor. */
function largeTensors(inputs: readonly (readonly [string, { readonly max: readonly number[] }])[]): readonly string[] {
  const large = inputs.filter(([, { max }]) => max.reduce((product, n) => product * n, 1) > 2 ** 31 - 1);
  return [...new Set(large.map(([name]) => name))];
}

/** Numbers in all pages of the largest profile. */
function largestPages(inputs: readonly (readonly [string, { readonly max: readonly number[] }])[]): number {
  const byName = new Map<string, number>();
  for (const [name, { max }] of inputs) {
    if (/^(key|value)_pages\./.test(name))
      byName.set(
        name,
        max.reduce((product, n) => product * n, 1),
      );
  }
  return [...byName.values()].reduce((sum, n) => sum + n, 0);
}

function plural(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

function percent(share: number): string {
  return `${decimal(share * 100)} %`;
}

function decimal(n: number): string {
  return `${Math.round(n * 10) / 10}`;
}

function count(n: number): string {
  return n >= 1e6 ? `${decimal(n / 1e6)} million` : `${n}`;
}

function size(numbers: number, bytes: number): string {
  const all = numbers * bytes;
  return all >= 1e9 ? `${decimal(all / 1e9)} GB` : `${decimal(all / 1e6)} MB`;
}
