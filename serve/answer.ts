import type { Engine, RunningRequest } from '../runtime/engine.ts';
import { RuntimeFailure } from '../runtime/session.ts';
import type { AnswerShape, FinishedChoice, Usage } from './answer-shape.ts';
import type { EventStream } from './event-stream.ts';
import type { Exchange } from './exchanges.ts';
import type { ChoicePlan, Plan } from './plan.ts';
import {
  badRequestOf,
  errorDocument,
  type Refusal,
  refusalOfFailure,
  refused,
  type Served,
  served,
  stopping,
} from './refusal.ts';
import { type ChoiceEnd, type ChoicePart, choiceParts, EngineStopped } from './run-choice.ts';

/** What it takes to answer a request. */
export interface Job {
  readonly engine: Engine;
  readonly plan: Plan;
  readonly shape: AnswerShape;
  readonly exchange: Exchange;
  /** Hears of failures that are nobody's wrong request. */
  readonly onFailure: (error: unknown) => void;
}

/** A choice that the engine works on, or that wants no new tokens. */
type Started = readonly [ChoicePlan, RunningRequest | undefined];

/** The whole answer, once it is made; refused also when it is given up half way. */
export async function wholeAnswer(job: Job): Promise<Served<object>> {
  const started = submitAll(job);
  if (!started.ok) return started;
  const parts = job.plan.choices.map((): ChoicePart[] => []);
  try {
    await runAll(job, started.value, async (part) => {
      parts[part.index]!.push(part);
    });
  } catch (error) {
    return refused(refusalOf(error, job));
  }
  if (job.exchange.signal.aborted) return refused(refusalOfAbort(job.exchange.signal));
  job.exchange.settle('ok');
  const choices = parts.map(joinParts);
  const tokens = choices.reduce((sum, choice) => sum + choice.tokens.length, 0);
  return served(job.shape.whole(choices, usageOf(job.plan, tokens)));
}

function joinParts(parts: readonly ChoicePart[], index: number): FinishedChoice {
  return {
    index,
    text: parts.map(({ text }) => text).join(''),
    tokens: parts.flatMap(({ tokens }) => tokens),
    exits: parts.flatMap(({ exits }) => exits),
    end: parts.at(-1)!.end!,
  };
}

/**
 * Sends the answer as it is made. Refused before the first byte of it, or not at all: what goes wrong later is an event
 * with an error, behind which no `[DONE]` comes.
 * @param open starts the answer; called at most once
 */
export async function streamAnswer(job: Job, open: () => EventStream): Promise<Served<void>> {
  const { plan, shape, exchange } = job;
  const started = submitAll(job);
  if (!started.ok) return started;
  const events = open();
  let tokens = 0;
  let refusal: Refusal | undefined;
  try {
    for (const { index } of plan.choices) await sendAll(events, shape.opening(index));
    await runAll(job, started.value, async (part) => {
      tokens += part.tokens.length;
      await sendAll(events, shape.part(part));
    });
    if (exchange.signal.aborted) refusal = refusalOfAbort(exchange.signal);
    else if (plan.includeUsage) await events.send(shape.usage(usageOf(plan, tokens)));
  } catch (error) {
    refusal = refusalOf(error, job);
  }
  if (refusal === undefined) exchange.settle('ok');
  else await events.send(errorDocument(refusal));
  events.end(refusal === undefined);
  return served(undefined);
}

async function sendAll(events: EventStream, documents: readonly object[]): Promise<void> {
  for (const document of documents) await events.send(document);
}

/** All choices, or none. */
function submitAll({ engine, plan, exchange, onFailure }: Job): Served<readonly Started[]> {
  for (const { request } of plan.choices) {
    const problems = request === undefined ? [] : engine.check(request);
    if (problems.length > 0) return refused(badRequestOf(problems));
  }
  const started: Started[] = [];
  for (const choice of plan.choices) {
    if (choice.request === undefined) {
      started.push([choice, undefined]);
      continue;
    }
    const running = engine.submit(choice.request);
    if (!running.ok) {
      // Nothing is wrong with the request: the engine takes none any more.
      for (const [, other] of started) other?.cancel();
      const failure = new RuntimeFailure(running.diagnostics[0]!);
      onFailure(failure);
      return refused(refusalOfFailure(failure));
    }
    started.push([choice, running.value]);
  }
  exchange.promptTokens(plan.promptTokens);
  return served(started);
}

/** Runs all choices side by side to their end; when one fails the others are cancelled, and it is thrown. */
async function runAll(
  { engine, plan, exchange }: Job,
  started: readonly Started[],
  onPart: (part: ChoicePart) => Promise<void>,
): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([exchange.signal, failed.signal]);
  const cancelAll = () => {
    for (const [, running] of started) running?.cancel();
  };
  if (signal.aborted) cancelAll();
  signal.addEventListener('abort', cancelAll);
  const run = async ([choice, running]: Started) => {
    if (running === undefined) {
      const end: ChoiceEnd = { reason: 'length', meanLoops: undefined };
      await onPart({ index: choice.index, text: choice.echo, tokens: [], exits: [], end });
      return;
    }
    try {
      for await (const part of choiceParts(choice, running, engine.tokenizer, plan.stop, signal)) {
        exchange.newTokens(part.exits);
        await onPart(part);
      }
    } catch (error) {
      failed.abort();
      throw error;
    }
  };
  const ends = await Promise.allSettled(started.map(run));
  signal.removeEventListener('abort', cancelAll);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

function usageOf({ promptTokens }: Plan, newTokens: number): Usage {
  return { prompt_tokens: promptTokens, completion_tokens: newTokens, total_tokens: promptTokens + newTokens };
}

function refusalOfAbort(signal: AbortSignal): Refusal {
  if (signal.reason !== 'timed-out') return stopping;
  const message = 'The request took longer than this server allows. Ask for fewer tokens.';
  return { status: 504, problems: [{ message, code: 'timeout' }] };
}

function refusalOf(error: unknown, { exchange, onFailure }: Job): Refusal {
  if (exchange.signal.aborted) return refusalOfAbort(exchange.signal);
  exchange.settle('failed');
  onFailure(error);
  if (error instanceof EngineStopped) return stopping;
  if (error instanceof RuntimeFailure) return refusalOfFailure(error);
  return { status: 500, problems: [{ message: 'The server failed; its log says why.', code: 'internal_error' }] };
}
