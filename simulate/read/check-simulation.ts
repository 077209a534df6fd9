import type { SimulationFile } from '../simulation-file.ts';
import type { Problems } from './problems.ts';

/** What a schema cannot say of a simulation file, and what can be said without reading another file. */
export function checkSimulation(problems: Problems, file: SimulationFile): void {
  checkExits(problems, file);
  checkWorkload(problems, file.workload);
  const { limits } = file;
  if (limits.maxRows === undefined && limits.memory === undefined) {
    const message = 'Nothing says how many rows a step may have; "limits.maxRows" or "limits.memory" was expected.';
    problems.add('missing-key', ['limits', 'maxRows'], message);
  }
}

function checkExits(problems: Problems, { loops, exits, exitsAfter }: SimulationFile): void {
  const after = exitsAfter ?? Array.from({ length: loops - 1 }, (_, i) => i + 1);
  after.forEach((loop, i) => {
    const path = ['exitsAfter', i];
    if (loop >= loops) {
      const message = `"exitsAfter[${i}]" is ${loop}; a loop below ${loops}, the last one, was expected.`;
      problems.add('impossible-exit', path, message, 'Behind the last loop every token leaves.');
    } else if (i > 0 && loop <= after[i - 1]!) {
      problems.add('wrong-order', path, `"exitsAfter" must ascend; ${loop} follows ${after[i - 1]}.`);
    }
  });
  const given = (['trace', 'shares', 'mean'] as const).filter((key) => exits[key] !== undefined);
  if (given.length !== 1) {
    const found = given.length === 0 ? 'none of them' : given.map((key) => `"${key}"`).join(' and ');
    const message = `"exits" must have one of "trace", "shares" and "mean"; it has ${found}.`;
    problems.add('wrong-value', ['exits', ...given.slice(1, 2)], message);
  }
  const first = Math.min(after[0] ?? loops, loops);
  if (exits.mean !== undefined && (exits.mean < first || exits.mean > loops)) {
    const message = `"exits.mean" is ${exits.mean}; a number from ${first}, the first exit, to ${loops} was expected.`;
    problems.add('impossible-exit', ['exits', 'mean'], message);
  }
  if (exits.shares !== undefined) checkShares(problems, exits.shares, loops, after);
}

function checkShares(problems: Problems, shares: readonly number[], loops: number, after: readonly number[]): void {
  if (shares.length !== loops) {
    const message = `"exits.shares" has ${shares.length} entries; one for each of the ${loops} loops was expected.`;
    problems.add('wrong-value', ['exits', 'shares'], message);
    return;
  }
  const sum = shares.reduce((a, b) => a + b, 0);
  if (Math.abs(sum - 1) > 1e-6) {
    const message = `"exits.shares" add up to ${Number(sum.toPrecision(6))}; 1 was expected.`;
    problems.add('wrong-value', ['exits', 'shares'], message);
  }
  shares.forEach((share, i) => {
    if (share === 0 || i === loops - 1 || after.includes(i + 1)) return;
    const message = `A share of ${share} leaves behind loop ${i + 1}, which is not in "exitsAfter".`;
    problems.add('impossible-exit', ['exits', 'shares', i], message);
  });
}

function checkWorkload(problems: Problems, { promptTokens, newTokens, arrivals }: SimulationFile['workload']): void {
  for (const [key, length] of Object.entries({ promptTokens, newTokens })) {
    if (typeof length !== 'object' || length.least <= length.most) continue;
    const message = `"workload.${key}" is at least ${length.least} and at most ${length.most}.`;
    problems.add('wrong-value', ['workload', key], message);
  }
  const rate = arrivals.perSecond !== undefined;
  if (arrivals.kind === 'poisson' && !rate) {
    const message = 'The key "workload.arrivals.perSecond" is missing; sequences a second were expected.';
    problems.add('missing-key', ['workload', 'arrivals', 'perSecond'], message);
  } else if (arrivals.kind === 'at-once' && rate) {
    const message = 'Sequences that arrive at once have no rate.';
    const hint = 'Take "perSecond" out, or make the kind "poisson".';
    problems.add('wrong-value', ['workload', 'arrivals', 'perSecond'], message, hint);
  }
}
