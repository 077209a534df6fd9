import type { Budgets } from './budget.ts';
import type { ExitRule } from './request.ts';
import type { StepShape } from './step-model.ts';

/**
 * The loop behind which new token `index` (from 1) is chosen, if the rule knows that before its confidences are seen.
 */
export function knownExit(rule: ExitRule, index: number, { loops, exits }: StepShape): number | undefined {
  switch (rule.kind) {
    case 'fixed':
      return rule.loop;
    case 'trace':
      return rule.exits[index] ?? loops;
    case 'threshold':
      return exits.length === 0 || !(Math.fround(rule.threshold) < 1) ? loops : undefined;
    case 'budget':
      return exits.length === 0 ? loops : undefined;
  }
}

/** Whether a confidence lets a token leave, under a rule that goes by confidence. */
export function leavesBy(rule: ExitRule, confidence: number, budgets: Budgets): boolean {
  const threshold =
    rule.kind === 'threshold' ? rule.threshold : rule.kind === 'budget' ? budgets.threshold(rule.meanLoops) : 1;
  // The loop form has its threshold in f32, too.
  const limit = Math.fround(threshold);
  return limit < 1 && confidence >= limit;
}
