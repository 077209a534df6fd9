import { type Diagnostic, failure, success } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import type { StepReport, TokenEvent } from '../../runtime/depth-batched/core.ts';
import type { GenerationRequest } from '../../runtime/depth-batched/request.ts';
import { requestFeed } from '../../runtime/engine/running-request.ts';
import type { Engine } from '../../runtime/engine.ts';
import { RuntimeFailure } from '../../runtime/session.ts';
import type { TextTokenizer } from '../../runtime/tokenizer.ts';
import { exampleManifest } from '../support/example-manifest.ts';

/** A token that ends a sequence. */
export const endToken = 0;

export interface FakeOptions {
  /** What follows a prompt; by default the alphabet over and over. A character is a token. */
  readonly text?: (prompt: string, request: GenerationRequest) => string;
  /** Milliseconds of a step, in which every running sequence gets a token. By default 0. */
  readonly pace?: number;
  readonly maxSequences?: number;
  readonly maxPositions?: number;
  readonly tokenizer?: boolean;
}

/** An engine that writes what it is told to, and shows what became of its requests. */
export interface FakeEngine extends Engine {
  /** Every request that was submitted. */
  readonly submitted: readonly GenerationRequest[];
  /** Requests that wait or run. */
  readonly live: () => number;
  readonly cancelled: () => number;
  /** Breaks down, as an engine does whose ONNX Runtime failed. */
  readonly fail: () => void;
}

const failureDiagnostic: Diagnostic = { severity: 'error', code: 'onnxruntime-failed', message: 'The fake failed.' };

export function fakeEngine(options: FakeOptions = {}): FakeEngine {
  const {
    text = () => 'abcdefghijklmnopqrstuvwxyz'.repeat(400),
    pace = 0,
    maxSequences = 4,
    maxPositions = 64,
  } = options;
  const manifest: PackageManifest = {
    ...exampleManifest(),
    name: 'fake',
    recursion: { prelude: 0, block: 1, loops: 3, coda: 0 },
  };
  type Running = {
    readonly feed: ReturnType<typeof requestFeed>;
    readonly left: string[];
    made: number;
    ended: boolean;
  };
  const requests: Running[] = [];
  const submitted: GenerationRequest[] = [];
  const listeners = new Set<(report: StepReport) => void>();
  let cancelled = 0;
  let broken = false;
  let timer: NodeJS.Timeout | undefined;

  const step = () => {
    timer = undefined;
    const tokens: TokenEvent[] = [];
    for (const running of requests.slice(0, maxSequences)) {
      const request = submitted[running.feed.request.id]!;
      const token = running.left.shift()?.codePointAt(0) ?? endToken;
      running.made++;
      const finished = token === endToken ? 'stop' : running.made === request.maxNewTokens ? 'length' : undefined;
      // Loops 3, 2, 1, 3, 2, 1 …
      const exit = 3 - ((running.made - 1) % 3);
      const event = {
        request: running.feed.request.id,
        token,
        exit,
        confidence: 0.5,
        ...(finished ? { finished } : {}),
      };
      tokens.push(event as TokenEvent);
      running.ended = finished !== undefined;
      running.feed.push(event as TokenEvent);
    }
    const rows = tokens.map(({ request }) => ({ request, depth: 0, tokens: 1, role: 'token' as const }));
    const milliseconds = { total: 2, run: 1 };
    for (const listener of listeners) {
      listener({ kind: 'decode', rows, heads: rows.length, tokens, ended: [], milliseconds } as StepReport);
    }
    requests.splice(0, requests.length, ...requests.filter(({ ended }) => !ended));
    start();
  };
  const start = () => {
    if (requests.length > 0) timer ??= setTimeout(step, pace);
  };

  const engine: FakeEngine = {
    manifest,
    tokenizer: options.tokenizer === false ? undefined : characters,
    limits: { maxRows: maxSequences, maxSequences, maxPositions, pages: 100, boundaryPages: 0, pageBytes: 4096 },
    check: ({ prompt }: GenerationRequest): readonly Diagnostic[] =>
      prompt.every((token) => token <= 0x10ffff)
        ? []
        : [{ severity: 'error', code: 'unknown-token', message: 'There is no such token.', hint: 'Look again.' }],
    submit: (request: GenerationRequest) => {
      if (broken) return failure(failureDiagnostic);
      const left = [...text(characters.decode(request.prompt), request)];
      const feed = requestFeed(submitted.length, () => {
        cancelled++;
        running.ended = true;
        requests.splice(0, requests.length, ...requests.filter(({ ended }) => !ended));
        feed.end('cancelled');
      });
      const running: Running = { feed, left, made: 0, ended: false };
      submitted.push(request);
      requests.push(running);
      start();
      return success(feed.request);
    },
    state: async () => {
      if (broken) throw new RuntimeFailure(failureDiagnostic);
      const running = Math.min(requests.length, maxSequences);
      return { waiting: requests.length - running, running, preemptions: 3, pages: { used: 3 * running, total: 100 } };
    },
    onStep: (listener: (report: StepReport) => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => clearTimeout(timer),
    submitted,
    live: () => requests.length,
    cancelled: () => cancelled,
    fail: () => {
      broken = true;
      clearTimeout(timer);
      for (const { feed } of requests.splice(0)) feed.fail(new RuntimeFailure(failureDiagnostic));
    },
  };
  return engine;
}

/** A character is a token; the end token has no text. */
const characters: TextTokenizer = {
  encode: (text) => [...text].map((character) => character.codePointAt(0)!),
  decode: (tokens) => tokens.map((token) => (token === endToken ? '' : String.fromCodePoint(token))).join(''),
  stream: () => ({ push: (token) => (token === endToken ? '' : String.fromCodePoint(token)), end: () => '' }),
};
