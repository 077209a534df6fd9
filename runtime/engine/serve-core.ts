import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import type { Core, StepReport } from '../depth-batched/core.ts';
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
  const onMessage = (message: ToWorker) => {
    mail.push(message);
    wake();
  };
  let reports = false;
  let questions: number[] = [];
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
      // Behind the step, so that requests which were cancelled before the question are not in the answer.
      for (const question of questions) post({ kind: 'state', question, state: core.state() });
      questions = [];
      if (report !== undefined) {
        tell(report);
      } else if (mail.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    port.off('message', onMessage);
  }

  function tell(report: StepReport): void {
    if (reports || report.tokens.length > 0 || report.ended.length > 0) {
      const { tokens, ended } = report;
      post({ kind: 'step', tokens: packTokens(tokens), ended, ...(reports ? { report } : {}) });
    }
  }
}
