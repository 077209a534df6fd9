import type { Diagnostic } from '../files/diagnostics.ts';
import { problem } from './check-prompt.ts';
import type { ExitRule } from './depth-batched/request.ts';

/** What is wrong with an exit rule for a model of so many loops. */
export function checkExitRule(rule: ExitRule, loops: number): readonly Diagnostic[] {
  const isLoop = (loop: number) => Number.isInteger(loop) && loop >= 1 && loop <= loops;
  const noLoop = (loop: number) =>
    problem('bad-option', `There is no loop ${loop} to exit at; the model has loops 1 to ${loops}.`);
  switch (rule.kind) {
    case 'threshold':
      // Any number says something, and NaN too: nobody leaves.
      return [];
    case 'fixed':
      return isLoop(rule.loop) ? [] : [noLoop(rule.loop)];
    case 'trace':
      return rule.exits
        .slice(1)
        .filter((loop) => !isLoop(loop))
        .slice(0, 1)
        .map(noLoop);
    case 'budget':
      return rule.meanLoops >= 1 && rule.meanLoops <= loops
        ? []
        : [problem('bad-option', `The mean of loops is ${rule.meanLoops}; a number from 1 to ${loops} was expected.`)];
  }
}
