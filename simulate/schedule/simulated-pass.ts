import type { Scenario, SimulatedBatching, SimulatedRequest } from '../scenario.ts';

/** A sequence under way. */
export interface SimulatedSequence {
  /** Place among the requests. */
  readonly request: number;
  /** Prompt tokens that are to be run. */
  readonly prompt: number;
  /** Tokens that are decoded, and the loop behind which each leaves. */
  readonly exits: ArrayLike<number>;
  /** Under way, the first tokens first. */
  readonly passes: SimulatedPass[];
  promptStarted: number;
  /** Tokens that may be decoded, since the one before them is known; and how many of them were started. */
  known: number;
  started: number;
}

/** Some tokens of a sequence on their way through the loops: a chunk of its prompt, or one token. */
export interface SimulatedPass {
  readonly sequence: SimulatedSequence;
  readonly tokens: number;
  readonly role: 'prompt' | 'token';
  /** Loop, from 1, behind which it leaves. */
  readonly exit: number;
  /** Whether a token comes of it, and whether that is the sequence's last. */
  readonly gives: boolean;
  readonly last: boolean;
  /** The next loop, from 0. */
  depth: number;
  left: boolean;
  /** Steps in a row that it was ready for and had no room in. */
  passedOver: number;
}

export function simulatedSequence(
  { costs }: Scenario,
  request: number,
  { promptTokens, exits }: SimulatedRequest,
): SimulatedSequence {
  const prompt = costs.prompt === undefined ? 0 : promptTokens;
  // Without a prompt the first token is known from the start.
  return { request, prompt, exits, passes: [], promptStarted: 0, known: prompt === 0 ? 1 : 0, started: 0 };
}

/** Tokens of the pass that could start next; 0: the token is not known yet, or there is none. */
export function nextLength(
  { prompt, promptStarted, known, started, exits }: SimulatedSequence,
  { prefillChunk, kvPolicy }: Scenario,
): number {
  if (promptStarted >= prompt) return started < Math.min(known, exits.length) ? 1 : 0;
  if (kvPolicy === 'shared') return 1;
  return Math.min(prefillChunk, prompt - promptStarted);
}

/** Starts the next pass, of so many tokens. */
export function startPass(
  sequence: SimulatedSequence,
  tokens: number,
  { loops }: Scenario,
  batching: SimulatedBatching,
): SimulatedPass {
  const isPrompt = sequence.promptStarted < sequence.prompt;
  const early = batching !== 'vanilla' && batching !== 'full-depth';
  const pass: SimulatedPass = {
    sequence,
    tokens,
    role: isPrompt ? 'prompt' : 'token',
    exit: isPrompt || !early ? loops : sequence.exits[sequence.started]!,
    gives: !isPrompt || sequence.promptStarted + tokens === sequence.prompt,
    last: isPrompt ? sequence.exits.length === 0 : sequence.started === sequence.exits.length - 1,
    depth: 0,
    left: false,
    passedOver: 0,
  };
  if (isPrompt) sequence.promptStarted += tokens;
  else sequence.started += 1;
  sequence.passes.push(pass);
  return pass;
}

/** Whether what a pass has to see at its depth is there: the pass before it is deeper. */
export function isReady(pass: SimulatedPass): boolean {
  const { passes } = pass.sequence;
  if (passes[0] === pass) return true;
  const before = passes[passes.indexOf(pass) - 1];
  return before === undefined || before.depth > pass.depth;
}

/** Whether a pass gave the last token of its sequence. */
export function hasEnded({ left, gives, last }: SimulatedPass): boolean {
  return left && gives && last;
}

/** Whether what its next loop gives is of use: until it has left, and with `complete` behind that. */
export function isAtWork(pass: SimulatedPass, { kvPolicy }: Scenario): boolean {
  return !pass.left || (kvPolicy === 'complete' && !hasEnded(pass));
}
