import type { Budgets } from './budget.ts';
import { cacheWrites, exitStates, pagesAt } from './cache-writes.ts';
import { addToken, needsLogits } from './choose.ts';
import type { StepReport, TokenEvent } from './core.ts';
import { leavesBy } from './exits.ts';
import type { HiddenStates } from './hidden-states.ts';
import { mayLeave, type Pass, type PassRules, type Sequence } from './sequence.ts';
import type { CacheWrite, ExitState, StepModel, StepRow } from './step-model.ts';

/** What steps are run with. */
export interface StepSetting {
  readonly model: StepModel;
  readonly rules: PassRules;
  readonly budgets: Budgets;
  readonly states: HiddenStates;
  readonly endTokens: ReadonlySet<number>;
  /** Whether rows that left run on for nothing. */
  readonly ride: boolean;
  /** Ends a sequence that has got its last token. */
  readonly end: (sequence: Sequence) => void;
}

/** What came of a step. */
export interface StepOutcome extends Pick<StepReport, 'rows' | 'heads' | 'tokens'> {
  /** Milliseconds inside ONNX Runtime. */
  readonly inside: number;
}

/** Runs the next loop of some passes, all of which are ready, and does for their sequences what follows from it. */
export async function runStep(setting: StepSetting, passes: readonly Pass[]): Promise<StepOutcome> {
  const { model, rules } = setting;
  const rows = passes.map((pass) => stepRow(pass, rules));
  const logits = passes.some(({ sequence }, i) => rows[i]!.heads.length > 0 && needsLogits(sequence));
  const result = await model.run(rows, { logits });

  const described = passes.map((pass) => {
    return { request: pass.sequence.id, depth: pass.depth, tokens: pass.tokens.length, role: roleOf(pass, rules) };
  });
  const tokens: TokenEvent[] = [];
  const writes: CacheWrite[] = [];
  const propagated: ExitState[] = [];
  let heads = 0;
  for (const [row, pass] of passes.entries()) {
    const works = isAtWork(pass, rules);
    const head = rows[row]!.heads.length > 0 ? heads++ : undefined;
    const leaves = rows[row]!.leaving && leavesHere(pass, result.confidence[head ?? -1], setting);
    if (leaves) {
      leave(pass, setting);
      if (head !== undefined) {
        const event = addToken(pass.sequence, result, head, pass.depth + 1, setting.endTokens);
        tokens.push(event);
        // Drops the pass: entries that nobody will read are not written.
        if (event.finished !== undefined) setting.end(pass.sequence);
      }
    }
    if (works && !pass.dropped) {
      writes.push(...cacheWrites(row, pass, leaves, rules));
      if (leaves && rules.policy === 'propagate') propagated.push(...exitStates(pass, result.hidden(row), rules));
    }
    pass.depth++;
    const through = pass.depth === rules.shape.loops;
    if (through || !isAtWork(pass, rules)) remove(pass);
    if (!through && (isAtWork(pass, rules) || ridesAlong(pass, setting))) setting.states.keep(pass, result.hidden(row));
    else setting.states.recycle(pass);
  }
  model.write(writes);
  const propagating = await model.propagate(propagated);
  return { rows: described, heads, tokens, inside: result.milliseconds + propagating };
}

function stepRow(pass: Pass, { shape }: PassRules): StepRow {
  const leaving = mayLeave(pass, shape);
  return {
    depth: pass.depth,
    position: pass.position,
    tokens: pass.tokens,
    pages: pagesAt(pass, pass.depth),
    boundaryPages: pass.pages.boundary,
    hidden: pass.hidden,
    leaving,
    heads: leaving && pass.chooses ? [pass.tokens.length - 1] : [],
  };
}

/** Whether what the row gives is of use: until it has left, and under `complete` behind that. */
function isAtWork({ left, dropped }: Pass, { policy }: PassRules): boolean {
  return !left || (policy === 'complete' && !dropped);
}

function roleOf(pass: Pass, rules: PassRules): StepOutcome['rows'][number]['role'] {
  if (!isAtWork(pass, rules)) return 'idle';
  return pass.left && pass.role === 'token' ? 'background' : pass.role;
}

/** Whether a pass that may leave behind the loop that was run does. */
function leavesHere({ sequence, exit, depth }: Pass, confidence: number | undefined, setting: StepSetting): boolean {
  if (exit !== undefined || depth + 1 === setting.rules.shape.loops) return true;
  return confidence !== undefined && leavesBy(sequence.rule, confidence, setting.budgets);
}

function leave(pass: Pass, { budgets }: StepSetting): void {
  const { sequence, exit, depth, position, tokens } = pass;
  pass.left = true;
  sequence.left = position + tokens.length;
  if (exit === undefined && sequence.rule.kind === 'budget') budgets.left(sequence.rule.meanLoops, depth + 1);
}

/** Whether a row that has left runs on with its batch. */
function ridesAlong({ left, tokens }: Pass, { ride }: StepSetting): boolean {
  return ride && left && tokens.length === 1;
}

/** Its sequence has nothing to wait for any more. */
function remove(pass: Pass): void {
  const { passes } = pass.sequence;
  const place = passes.indexOf(pass);
  if (place >= 0) passes.splice(place, 1);
}
