import type { NodeFacts } from './node-facts.ts';
import { attentionRules } from './rules/attention.ts';
import { attributeRules } from './rules/attributes.ts';
import { constantInputRules } from './rules/constant-inputs.ts';
import { quantizationRules } from './rules/quantization.ts';

/** What an operator may not be, besides of other types than it takes: reports what it finds. */
export type Rule = (facts: NodeFacts) => void;

/** Rules by operator; no operator is in two of the tables. */
export const rules: Readonly<Record<string, Rule>> = {
  ...attentionRules,
  ...attributeRules,
  ...constantInputRules,
  ...quantizationRules,
};
