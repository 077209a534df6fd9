import type { KvPolicy } from './core.ts';
import { knownExit } from './exits.ts';
import type { Numbers } from './numbers.ts';
import type { ExitRule, GenerationRequest } from './request.ts';
import type { SequencePages } from './spans.ts';
import type { StepShape } from './step-model.ts';

/** A request that has not ended. */
export interface Sequence {
  readonly id: number;
  /** Place in the order in which requests came. */
  readonly age: number;
  readonly request: GenerationRequest;
  readonly rule: ExitRule;
  /** New tokens, and the loop behind which each was chosen. */
  readonly tokens: number[];
  readonly exits: number[];
  /** Under way, the first tokens first; each is at a shallower depth than the one before it. */
  readonly passes: Pass[];
  /** Positions that passes were started for. */
  started: number;
  /** Positions whose passes have left. */
  left: number;
  /** Of these, at the last preemption: they run again. */
  replayed: number;
  pages: SequencePages;
}

/** Some tokens of a sequence on their way through the loops: a chunk of the prompt, or one token. */
export interface Pass {
  readonly sequence: Sequence;
  /** Of the first token. */
  readonly position: number;
  readonly tokens: readonly number[];
  readonly role: 'prompt' | 'token' | 'replay';
  /** Whether the sequence's next token is chosen behind it. */
  readonly chooses: boolean;
  /** Loop, from 1, behind which it leaves; undefined while confidences decide. */
  readonly exit: number | undefined;
  /** The sequence's at its start; they outlive the sequence for rows that ride along. */
  readonly pages: SequencePages;
  /** The next loop, from 0. */
  depth: number;
  /** Whether it has left; what is left to run then is for its cache entries, or nothing. */
  left: boolean;
  /** Whether its sequence was preempted, cancelled or has ended. */
  dropped: boolean;
  /** [tokens, hidden] behind the last loop; undefined before the first. */
  hidden: Numbers | undefined;
  /** Steps in a row that it was ready for and had no room in. */
  passedOver: number;
}

/** What passes are cut by. */
export interface PassRules {
  readonly shape: StepShape;
  readonly policy: KvPolicy;
  /** Chunks of a prompt begin at multiples of this, so that nobody else can move where a prompt is cut. */
  readonly prefillChunk: number;
}

/** Positions of a sequence whose tokens are known. */
export function knownLength({ request, tokens }: Sequence): number {
  return request.prompt.length + tokens.length;
}

/** Tokens of the pass that starts next; 0 when the next token is not chosen yet. */
export function nextLength(sequence: Sequence, { policy, prefillChunk }: PassRules): number {
  const { started, request } = sequence;
  if (started >= request.prompt.length) return started < knownLength(sequence) ? 1 : 0;
  if (policy === 'shared') return 1;
  const cut = (Math.floor(started / prefillChunk) + 1) * prefillChunk;
  return Math.min(cut, request.prompt.length) - started;
}

/** Starts the next pass, for whose tokens there are pages. */
export function startPass(sequence: Sequence, rules: PassRules): Pass {
  const { shape } = rules;
  const { request, started: position, tokens, exits, rule, pages } = sequence;
  const end = position + nextLength(sequence, rules);
  const { prompt } = request;
  const chooses = end === knownLength(sequence);
  const isPrompt = position < prompt.length;
  const again = isPrompt ? end <= sequence.replayed : !chooses;
  const index = position - prompt.length + 1;
  const pass: Pass = {
    sequence,
    position,
    tokens: isPrompt ? prompt.slice(position, end) : [tokens[index - 1]!],
    role: again ? 'replay' : isPrompt ? 'prompt' : 'token',
    chooses,
    exit: isPrompt ? shape.loops : chooses ? knownExit(rule, index, shape) : exits[index]!,
    pages,
    depth: 0,
    left: false,
    dropped: false,
    hidden: undefined,
    passedOver: 0,
  };
  sequence.started = end;
  sequence.passes.push(pass);
  return pass;
}

/** Whether the loop that comes next is one behind which the pass leaves, or may leave. */
export function mayLeave({ exit, left, depth }: Pass, { loops, exits }: StepShape): boolean {
  if (left) return false;
  const loop = depth + 1;
  return exit === undefined ? loop === loops || exits.includes(loop) : loop === exit;
}

/**
 * Whether what the pass has to see at its depth is there: the pass before it is deeper. Tokens of a sequence leave in
 * their order, so that at every depth entries are written in the order of positions, and a coda finds those before it.
 */
export function isReady(pass: Pass, shape: StepShape): boolean {
  const { passes } = pass.sequence;
  const before = passes[passes.indexOf(pass) - 1];
  if (before === undefined) return true;
  return before.depth > pass.depth && (before.left || !mayLeave(pass, shape));
}
