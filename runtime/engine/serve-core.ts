import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import type { Core, StepReport, TokenEvent } from '../depth-batched/core.ts';
import type { Gate } from './gate.ts';
import { type FromWorker, packTokens, type ToWorker } from './messages.ts';

/**
 * Runs steps while there is work and does what messages say, until one says to close. What a message asks for takes
 * effect before the next step: the thread gets its messages between any two of them.
 * Rejects with what a step throws. Never settles once the gate is shut: the process is about to end.
 */
export async function serveCore(core: Core, port: MessagePort, gate: Gate): Promise<void> {
  const post = (message: FromWorker) => port.postMessage(message);
  const mail: ToWorker[] = [];
  let wake = () => {};
  const onMessage = (messages: readonly ToWorker[]) => {
    for (const message of messages) mail.push(message);
    wake();
  };
  let reports = false;
  const questions: number[] = [];
  const news = gatherNews(post);
  /** False: close. */
  const obey = (message: ToWorker): boolean => {
    switch (message.kind) {
      case 'submit': {
        const taken = core.submit(message.id, message.request);
        if (!taken.ok) post({ kind: 'rejected', id: message.id, diagnostics: taken.diagnostics });
        return true;
      }
      case 'cancel':
        core.cancel(message.id);
        return true;
      case 'state':
        questions.push(message.question);
        return true;
      case 'reports':
        reports = message.wanted;
        return true;
      case 'close':
        return false;
    }
  };
  port.on('message', onMessage);
  try {
    while (true) {
      // Messages come in with turns of the event loop, and a step need not take one.
      await nextTurn();
      for (const message of mail.splice(0)) if (!obey(message)) return;
      if (!gate.enter()) await new Promise(() => {});
      const report = await core.step().finally(gate.leave);
      if (report !== undefined) news.add(report, reports);
      if (report === undefined || questions.length > 0 || news.isDue()) news.post();
      // Behind the step, so that requests which were cancelled before the question are not in the answer.
      for (const question of questions.splice(0)) post({ kind: 'state', question, state: core.state() });
      if (report === undefined && mail.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    news.post();
    port.off('message', onMessage);
  }
}

/** A message costs some 30 us here and wakes the other thread: a model with shorter steps tells of several at once. */
const interval = 2;

/** What came of steps and was not told yet. */
function gatherNews(tell: (message: FromWorker) => void) {
  let tokens: TokenEvent[] = [];
  let ended: StepReport['ended'][number][] = [];
  let reports: StepReport[] = [];
  let told = performance.now();
  return {
    add: (report: StepReport, whole: boolean) => {
      tokens.push(...report.tokens);
      ended.push(...report.ended);
      if (whole) reports.push(report);
    },
    /** Long steps are always due. */
    isDue: () => performance.now() - told >= interval,
    post: () => {
      if (tokens.length + ended.length + reports.length === 0) return;
      tell({ kind: 'steps', tokens: packTokens(tokens), ended, ...(reports.length === 0 ? {} : { reports }) });
      [tokens, ended, reports] = [[], [], []];
      told = performance.now();
    },
  };
}
