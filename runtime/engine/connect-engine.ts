import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import type { CoreState, StepReport } from '../depth-batched/core.ts';
import type { GenerationRequest } from '../depth-batched/request.ts';
import { RuntimeFailure } from '../session.ts';
import { type FromWorker, unpackTokens } from './messages.ts';
import { type RequestFeed, type RunningRequest, requestFeed } from './running-request.ts';
import type { EngineWorker, WorkerListener } from './start-worker.ts';

/** The part of an engine that has to do with its worker. */
export interface ConnectedEngine {
  readonly submit: (request: GenerationRequest, options?: SubmitOptions) => Result<RunningRequest>;
  readonly state: () => Promise<CoreState>;
  readonly onStep: (listener: (report: StepReport) => void) => () => void;
  readonly close: () => Promise<void>;
}

export interface SubmitOptions {
  /** Cancels the request. */
  readonly signal?: AbortSignal;
}

/**
 * Starts a worker and waits until it has loaded its package. Fails with what the worker says; rejects with our own bugs.
 * @param check problems of a request that no waiting would solve
 */
export async function connectEngine(
  start: (listener: WorkerListener) => EngineWorker,
  check: (request: GenerationRequest) => readonly Diagnostic[],
): Promise<Result<ConnectedEngine>> {
  const requests = new Map<number, { readonly feed: RequestFeed; readonly forget: () => void }>();
  const questions = new Map<number, { resolve: (state: CoreState) => void; reject: (why: RuntimeFailure) => void }>();
  const listeners = new Set<(report: StepReport) => void>();
  let numbers = 0;
  /** Why nothing can be asked any more. */
  let broken: RuntimeFailure | undefined;
  let opened: (result: Result<void>) => void;
  const opening = new Promise<Result<void>>((resolve) => {
    opened = resolve;
  });

  const leave = (id: number): RequestFeed | undefined => {
    const found = requests.get(id);
    requests.delete(id);
    found?.forget();
    return found?.feed;
  };
  const fail = (why: RuntimeFailure) => {
    broken ??= why;
    for (const id of [...requests.keys()]) leave(id)!.fail(why);
    for (const { reject } of questions.values()) reject(why);
    questions.clear();
    opened(failure(why.diagnostic));
  };
  const onMessage = (message: FromWorker) => {
    switch (message.kind) {
      case 'opened':
        return opened(success(undefined));
      case 'refused':
        return opened(failure(...message.diagnostics));
      case 'rejected':
        return leave(message.id)?.fail(new RuntimeFailure(message.diagnostics[0]!));
      case 'steps': {
        for (const token of unpackTokens(message.tokens)) {
          const feed = token.finished === undefined ? requests.get(token.request)?.feed : leave(token.request);
          feed?.push(token);
        }
        for (const { request, reason } of message.ended) leave(request)?.end(reason);
        for (const report of message.reports ?? []) for (const listener of [...listeners]) listener(report);
        return;
      }
      case 'state':
        questions.get(message.question)?.resolve(message.state);
        questions.delete(message.question);
        return;
      case 'failed':
      case 'closed':
        return;
    }
  };

  const worker = start({ onMessage, onFailure: fail });
  const started = await opening;
  if (!started.ok) {
    await worker.gone;
    if (broken?.diagnostic.code === 'internal-error') throw broken;
    return started;
  }

  const submit = (request: GenerationRequest, { signal }: SubmitOptions = {}): Result<RunningRequest> => {
    if (broken !== undefined) return failure(broken.diagnostic);
    const problems = check(request);
    if (problems.length > 0) return failure(...problems);
    const id = ++numbers;
    const cancel = () => worker.post({ kind: 'cancel', id });
    const feed = requestFeed(id, cancel);
    if (signal?.aborted) {
      feed.end('cancelled');
      return success(feed.request);
    }
    // It leaves with all else of this turn; what the caller does with its lists until then is not to matter.
    worker.post({ kind: 'submit', id, request: structuredClone(request) });
    signal?.addEventListener('abort', cancel, { once: true });
    requests.set(id, { feed, forget: () => signal?.removeEventListener('abort', cancel) });
    return success(feed.request);
  };
  const state = () =>
    new Promise<CoreState>((resolve, reject) => {
      if (broken !== undefined) return reject(broken);
      const question = ++numbers;
      questions.set(question, { resolve, reject });
      worker.post({ kind: 'state', question });
    });
  const onStep = (listener: (report: StepReport) => void) => {
    // The same function twice is two listeners.
    const own = (report: StepReport) => listener(report);
    listeners.add(own);
    if (listeners.size === 1) worker.post({ kind: 'reports', wanted: true });
    return () => {
      if (listeners.delete(own) && listeners.size === 0) worker.post({ kind: 'reports', wanted: false });
    };
  };
  const close = async () => {
    if (broken === undefined) {
      broken = new RuntimeFailure(closedDiagnostic);
      for (const id of [...requests.keys()]) leave(id)!.end('cancelled');
      for (const { reject } of questions.values()) reject(broken);
      questions.clear();
      worker.post({ kind: 'close' });
    }
    await worker.gone;
  };
  return success({ submit, state, onStep, close });
}

const closedDiagnostic: Diagnostic = {
  severity: 'error',
  code: 'engine-closed',
  message: 'The engine is closed.',
};
