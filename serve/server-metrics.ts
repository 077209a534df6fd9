import type { CoreState, StepReport } from '../runtime/depth-batched/core.ts';
import type { Engine } from '../runtime/engine.ts';
import { counter, gauge, histogram, type Labels, type MetricFamily } from './metric-families.ts';
import type { Endpoint, Outcome, RequestReport } from './server-options.ts';

/** What a server counts and measures. */
export interface ServerMetrics {
  readonly step: (report: StepReport) => void;
  readonly firstToken: (endpoint: Endpoint, seconds: number) => void;
  readonly requestEnded: (report: RequestReport) => void;
  /** Everything in Prometheus' text format. */
  readonly text: (now: { readonly engine: CoreState; readonly requests: number }) => string;
}

/** Media type of Prometheus' text format. */
export const metricsType = 'text/plain; version=0.0.4; charset=utf-8';

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const stepSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const endpoints: readonly Endpoint[] = ['completions', 'chat'];
const outcomes: readonly Outcome[] = ['ok', 'refused', 'overloaded', 'disconnected', 'timed-out', 'stopped', 'failed'];
const kinds: readonly Labels[] = [{ kind: 'prefill' }, { kind: 'decode' }];

export function serverMetrics({ manifest, limits }: Engine, version: string): ServerMetrics {
  const { loops } = manifest.recursion;
  const byEndpoint = endpoints.map((endpoint): Labels => ({ endpoint }));
  const info = gauge('rtc_info', 'What is served; always 1.');
  const requests = gauge('rtc_requests_in_progress', 'Requests for text that are not answered yet.');
  const ended = counter(
    'rtc_requests_total',
    'Requests for text that have ended, by how.',
    endpoints.flatMap((endpoint) => outcomes.map((outcome) => ({ endpoint, outcome }))),
  );
  const sequences = gauge('rtc_sequences', 'Sequences by state; those that wait are the queue.');
  const promptTokens = counter('rtc_prompt_tokens_total', 'Tokens of prompts that were accepted.');
  const newTokens = counter('rtc_generated_tokens_total', 'Tokens that were generated.');
  const exits = counter(
    'rtc_token_exits_total',
    'Generated tokens by the loop behind which they were chosen.',
    Array.from({ length: loops }, (_, loop) => ({ loop: String(loop + 1) })),
  );
  const stepTime = histogram('rtc_step_seconds', 'Time of a step of the graph, host included.', stepSeconds, kinds);
  const graphTime = counter('rtc_step_run_seconds_total', 'Time inside ONNX Runtime.', kinds);
  const rows = histogram('rtc_step_rows', 'Rows of a step.', rowBounds(limits.maxRows), kinds);
  const depths = counter(
    'rtc_rows_total',
    'Rows of all steps by depth, from 0.',
    Array.from({ length: loops }, (_, depth) => ({ depth: String(depth) })),
  );
  const heads = counter('rtc_heads_total', 'Rows that the head was run for.');
  const preemptions = counter('rtc_preemptions_total', 'Sequences that gave their pages up and ran again.');
  const pages = gauge('rtc_pages_used', 'Pages of keys and values in use.');
  const allPages = gauge('rtc_pages', 'Pages of keys and values that there are.');
  const pageBytes = gauge('rtc_page_bytes', 'Memory of all pages.');
  const firstToken = histogram(
    'rtc_time_to_first_token_seconds',
    'From a request to its first token.',
    seconds,
    byEndpoint,
  );
  const latency = histogram('rtc_request_seconds', 'From a request to the end of its answer.', seconds, byEndpoint);
  const resident = gauge('process_resident_memory_bytes', 'Resident memory of the process.');
  const started = gauge('process_start_time_seconds', 'When the process started, in seconds since 1970.');
  const families: readonly MetricFamily[] = [
    info,
    requests,
    ended,
    sequences,
    promptTokens,
    newTokens,
    exits,
    stepTime,
    graphTime,
    rows,
    depths,
    heads,
    preemptions,
    pages,
    allPages,
    pageBytes,
    firstToken,
    latency,
    resident,
    started,
  ];

  info.set(1, { version, model: manifest.name, loops: String(loops), precision: manifest.precision.compute });
  pageBytes.set(limits.pageBytes);
  started.set(Math.round(Date.now() / 1000 - process.uptime()));
  let preempted = 0;
  return {
    step: (report) => {
      const kind = { kind: report.kind };
      stepTime.observe(report.milliseconds.total / 1000, kind);
      graphTime.add(report.milliseconds.run / 1000, kind);
      rows.observe(report.rows.length, kind);
      for (const { depth } of report.rows) depths.add(1, { depth: String(depth) });
      heads.add(report.heads);
      newTokens.add(report.tokens.length);
      for (const { exit } of report.tokens) exits.add(1, { loop: String(exit) });
    },
    firstToken: (endpoint, after) => firstToken.observe(after, { endpoint }),
    requestEnded: ({ endpoint, outcome, promptTokens: prompt, seconds: took }) => {
      ended.add(1, { endpoint, outcome });
      promptTokens.add(prompt);
      // How long it takes to refuse says nothing of how long answers take.
      if (outcome === 'ok') latency.observe(took, { endpoint });
    },
    text: ({ engine, requests: inProgress }) => {
      requests.set(inProgress);
      sequences.set(engine.waiting, { state: 'waiting' });
      sequences.set(engine.running, { state: 'running' });
      preemptions.add(Math.max(0, engine.preemptions - preempted));
      preempted = Math.max(preempted, engine.preemptions);
      pages.set(engine.pages.used);
      allPages.set(engine.pages.total);
      resident.set(process.memoryUsage.rss());
      return families.map((family) => family.text()).join('');
    },
  };
}

/** 1, 2, 4 … up to what a step takes. */
function rowBounds(most: number): readonly number[] {
  const bounds: number[] = [];
  for (let bound = 1; bound < most; bound *= 2) bounds.push(bound);
  return [...bounds, most];
}
