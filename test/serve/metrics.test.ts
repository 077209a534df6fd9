import { describe, expect, test } from 'vitest';
import { counter, gauge, histogram } from '../../serve/metric-families.ts';
import { eventually, serving } from './serving.ts';

/**
 * Reads Prometheus' text format as strictly as it is written down: families one after another, each with help and type,
 * every sample a family's own, no series twice, buckets that only grow and end in the count.
 */
function parse(text: string): ReadonlyMap<string, number> {
  if (!text.endsWith('\n')) throw new Error('the last line is not finished');
  const samples = new Map<string, number>();
  const families = new Set<string>();
  let family = '';
  let type = '';
  for (const line of text.trimEnd().split('\n')) {
    const [, help] = /^# HELP ([a-z_]+) \S.*\.$/.exec(line) ?? [];
    const typed = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line);
    const sample = /^([a-z_]+)((?:\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\})?) (\S+)$/.exec(line);
    if (help !== undefined) {
      if (families.has(help)) throw new Error(`${help} comes twice`);
      families.add(help);
      family = help;
    } else if (typed !== null) {
      if (typed[1] !== family) throw new Error(`a type without help: ${line}`);
      type = typed[2]!;
    } else if (sample !== null) {
      const [, name = '', labels = '', value] = sample;
      const own = type === 'histogram' ? [`${family}_bucket`, `${family}_sum`, `${family}_count`] : [family];
      if (!own.includes(name) || samples.has(name + labels)) throw new Error(`out of place: ${line}`);
      if (type === 'counter' && !/_total$/.test(name)) throw new Error(`a counter ends in _total: ${name}`);
      if (Number.isNaN(Number(value))) throw new Error(`no number: ${line}`);
      samples.set(name + labels, Number(value));
    } else throw new Error(`no line of metrics: ${line}`);
  }
  const lastOf = new Map<string, number>();
  for (const [key, value] of samples) {
    const [, name, before = '', bound] = /^(\w+)_bucket\{(.*?),?le="([^"]*)"\}$/.exec(key) ?? [];
    if (name === undefined) continue;
    const series = `${name}_count${before === '' ? '' : `{${before}}`}`;
    if (value < (lastOf.get(series) ?? 0)) throw new Error(`buckets shrink: ${key}`);
    lastOf.set(series, value);
    if (bound === '+Inf' && samples.get(series) !== value) throw new Error(`the last bucket is not the count: ${key}`);
  }
  return samples;
}

describe('families', () => {
  test('a counter and a gauge', () => {
    const requests = counter('requests_total', 'Requests.', [{ outcome: 'ok' }]);
    requests.add(2, { outcome: 'ok' });
    requests.add(1, { outcome: 'a "b"\\\n' });
    expect(requests.text()).toBe(
      '# HELP requests_total Requests.\n# TYPE requests_total counter\n' +
        'requests_total{outcome="ok"} 2\nrequests_total{outcome="a \\"b\\"\\\\\\n"} 1\n',
    );
    const pages = gauge('pages', 'Pages.');
    pages.set(5);
    pages.set(3);
    expect(pages.text()).toBe('# HELP pages Pages.\n# TYPE pages gauge\npages 3\n');
  });

  test('a histogram counts everything below', () => {
    const rows = histogram('rows', 'Rows.', [1, 4], [{ kind: 'a' }]);
    for (const value of [1, 2, 4, 5]) rows.observe(value, { kind: 'a' });
    expect(rows.text().split('\n').slice(2)).toEqual([
      'rows_bucket{kind="a",le="1"} 1',
      'rows_bucket{kind="a",le="4"} 3',
      'rows_bucket{kind="a",le="+Inf"} 4',
      'rows_sum{kind="a"} 12',
      'rows_count{kind="a"} 4',
      '',
    ]);
  });
});

test('GET /metrics says what happened', async () => {
  const { get, post, engine } = await serving({ pace: 5, maxSequences: 3 }, { maxQueue: 1 });
  const before = await get('/metrics');
  expect(before.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  // Series are there before anything happens, so that rates are right from the first event on.
  expect(parse(before.text).get('rtc_requests_total{endpoint="chat",outcome="failed"}')).toBe(0);

  await post('/v1/completions', { prompt: 'ab', max_tokens: 4, n: 2 });
  await post('/v1/completions', { prompt: 'ab', max_tokens: -1 });
  const running = post('/v1/completions', { prompt: 'abc', max_tokens: 30, n: 4 });
  await eventually(() => engine.live() === 4);
  expect((await post('/v1/completions', { prompt: 'x' })).status).toBe(429);
  const during = parse((await get('/metrics')).text);
  expect(during.get('rtc_requests_in_progress')).toBe(1);
  expect(during.get('rtc_sequences{state="running"}')).toBe(3);
  expect(during.get('rtc_sequences{state="waiting"}')).toBe(1);
  expect(during.get('rtc_pages_used')).toBe(9);
  await running;

  const after = parse((await get('/metrics')).text);
  const value = (key: string) => after.get(key);
  expect(value('rtc_info{version="1.2.3",model="fake",loops="3",precision="f32"}')).toBe(1);
  expect(value('rtc_requests_in_progress')).toBe(0);
  expect(value('rtc_requests_total{endpoint="completions",outcome="ok"}')).toBe(2);
  expect(value('rtc_requests_total{endpoint="completions",outcome="refused"}')).toBe(1);
  expect(value('rtc_requests_total{endpoint="completions",outcome="overloaded"}')).toBe(1);
  expect(value('rtc_prompt_tokens_total')).toBe(5);
  expect(value('rtc_generated_tokens_total')).toBe(2 * 4 + 4 * 30);
  // Loops 3, 2, 1, 3: of 4 tokens two left behind the last loop, of 30 ten.
  expect(value('rtc_token_exits_total{loop="3"}')).toBe(2 * 2 + 4 * 10);
  expect(value('rtc_token_exits_total{loop="1"}')).toBe(2 + 4 * 10);
  const steps = value('rtc_step_rows_count{kind="decode"}')!;
  expect(steps).toBeGreaterThanOrEqual(4 + 60);
  expect(value('rtc_step_rows_sum{kind="decode"}')).toBe(128);
  expect(value('rtc_step_rows_bucket{kind="decode",le="3"}')).toBe(steps);
  expect(value('rtc_step_seconds_sum{kind="decode"}')).toBeCloseTo(0.002 * steps, 6);
  expect(value('rtc_step_run_seconds_total{kind="decode"}')).toBeCloseTo(0.001 * steps, 6);
  expect(value('rtc_rows_total{depth="0"}')).toBe(128);
  expect(value('rtc_preemptions_total')).toBe(3);
  expect(value('rtc_pages')).toBe(100);
  expect(value('rtc_time_to_first_token_seconds_count{endpoint="completions"}')).toBe(2);
  expect(value('rtc_request_seconds_count{endpoint="completions"}')).toBe(2);
  expect(value('rtc_request_seconds_sum{endpoint="completions"}')).toBeGreaterThan(0.15);
  expect(value('process_resident_memory_bytes')).toBeGreaterThan(1e7);
});
