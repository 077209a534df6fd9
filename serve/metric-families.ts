/** Labels of a sample: `{ state: 'running' }`. */
export type Labels = Readonly<Record<string, string>>;

/** A family of samples that can be written in Prometheus' text format. */
export interface MetricFamily {
  readonly text: () => string;
}

/** A number that only grows, for each set of labels. */
export interface Counter extends MetricFamily {
  readonly add: (amount?: number, labels?: Labels) => void;
}

/** A number as it is right now, for each set of labels. */
export interface Gauge extends MetricFamily {
  readonly set: (value: number, labels?: Labels) => void;
}

/** How often values fell where, for each set of labels. */
export interface Histogram extends MetricFamily {
  readonly observe: (value: number, labels?: Labels) => void;
}

/** A counter, which by convention ends in `_total`. A first sample without labels is there from the beginning. */
export function counter(name: string, help: string, initial: readonly Labels[] = [{}]): Counter {
  const values = new Map(initial.map((labels) => [labelText(labels), 0]));
  return {
    add: (amount = 1, labels = {}) => {
      const key = labelText(labels);
      values.set(key, (values.get(key) ?? 0) + amount);
    },
    text: () => head(name, help, 'counter') + samples(name, values),
  };
}

export function gauge(name: string, help: string): Gauge {
  const values = new Map<string, number>();
  return {
    set: (value, labels = {}) => {
      values.set(labelText(labels), value);
    },
    text: () => head(name, help, 'gauge') + samples(name, values),
  };
}

/** @param bounds upper ends of the buckets, ascending and finite; everything above falls into one more */
export function histogram(
  name: string,
  help: string,
  bounds: readonly number[],
  initial: readonly Labels[] = [{}],
): Histogram {
  const empty = () => ({ counts: bounds.map(() => 0), sum: 0, count: 0 });
  const series = new Map(initial.map((labels) => [labelText(labels), { labels, ...empty() }]));
  return {
    observe: (value, labels = {}) => {
      const key = labelText(labels);
      const found = series.get(key) ?? { labels, ...empty() };
      series.set(key, found);
      // A bucket counts everything below its end, as the format has it.
      for (const [i, bound] of bounds.entries()) if (value <= bound) found.counts[i]!++;
      found.sum += value;
      found.count++;
    },
    text: () => {
      const lines = [...series.values()].map(({ labels, counts, sum, count }) => {
        const buckets = new Map(
          bounds.map((bound, i) => [labelText({ ...labels, le: String(bound) }), counts[i]!] as const),
        );
        buckets.set(labelText({ ...labels, le: '+Inf' }), count);
        const key = labelText(labels);
        return (
          samples(`${name}_bucket`, buckets) +
          samples(`${name}_sum`, new Map([[key, sum]])) +
          samples(`${name}_count`, new Map([[key, count]]))
        );
      });
      return head(name, help, 'histogram') + lines.join('');
    },
  };
}

function head(name: string, help: string, type: 'counter' | 'gauge' | 'histogram'): string {
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n`;
}

function samples(name: string, values: ReadonlyMap<string, number>): string {
  return [...values].map(([labels, value]) => `${name}${labels} ${value}\n`).join('');
}

/** `{state="running"}`, or nothing. */
function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeValue(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeValue(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
