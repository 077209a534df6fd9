import type { BenchDocument, BenchRun } from '../bench-document.ts';
import { html, type Markup } from './markup.ts';
import { percent, plural, quantity } from './quantities.ts';

type Fact = readonly [string, string];

/** What was measured, on what. */
export function factsSection(document: BenchDocument): Markup {
  const { environment, package: model, runs } = document;
  const layers = [
    model.prelude > 0 ? `prelude of ${plural(model.prelude, 'layer')}` : '',
    `block of ${plural(model.block, 'layer')} × ${plural(model.loops, 'loop')}`,
    model.coda > 0 ? `coda of ${plural(model.coda, 'layer')}` : '',
  ];
  const facts: readonly Fact[] = [
    ['package', `${model.name}, ${model.dialect}, ${model.precision}`],
    ['model', layers.filter((text) => text !== '').join(', ')],
    ['vocabulary', model.vocabulary.toLocaleString('en-US')],
    ...fact('stored parameters', model.storedParameters, (count) => `${quantity(count / 1e6)} million`),
    ...fact('weights', model.weightBytes, (bytes) => `${quantity(bytes / 1e6)} MB`),
    ...fact('LoRA', model.lora, String),
    ['machine', `${environment.cpu}, ${plural(environment.cores, 'core')}, ${environment.platform}`],
    ['ONNX Runtime', `${environment.onnxRuntime}, ${plural(environment.threads, 'thread')}; Node ${environment.node}`],
    ['rtc', environment.rtc],
  ];
  return html`
<section>
  <h2>What was measured</h2>
  <dl>${facts.map(factRow)}</dl>
  ${runs.map(
    (run) => html`<h3>${plural(run.workload.maxRows, 'row')}</h3>
  <dl>${workloadFacts(run).map(factRow)}</dl>`,
  )}
</section>`;
}

function workloadFacts(run: BenchRun): readonly Fact[] {
  const { workload, unrolled, engine, othersCpu, sameTokens } = run;
  const { arrivals, promptTokens, newTokens } = workload;
  const range = ({ least, mean, most }: typeof promptTokens) =>
    least === most ? String(most) : `${least} to ${most}, ${quantity(mean)} on average`;
  return [
    ['sequences', `${workload.sequences}, at most ${workload.maxSequences} at once`],
    ['prompt tokens', range(promptTokens)],
    ['new tokens', range(newTokens)],
    ['arrivals', arrivals.kind === 'at-once' ? 'all at once' : `Poisson, ${arrivals.perSecond} a second`],
    ['exits', workload.exits],
    ['policies', `KV ${workload.kvPolicy}, rows ${workload.rowOrder} first`],
    ['measured in', `${plural(workload.rounds, 'round')}, seed ${workload.seed}`],
    ...fact('same tokens', sameTokens, (same) =>
      same ? 'all ways to batch gave the same tokens' : 'NOT all ways to batch gave the same tokens',
    ),
    ...fact('full depth over unrolled', unrolled, ({ slower }) => `${slower.median.toFixed(2)} × the time of a token`),
    ...fact(
      'through the engine',
      engine,
      ({ tokensPerSecond, hostShare, messageShare }) =>
        `${quantity(tokensPerSecond)} tokens/s, ${percent(hostShare)} outside ONNX Runtime, of which messages ${percent(messageShare)}`,
    ),
    ...fact(
      'other processes',
      othersCpu,
      ({ mean, most }) => `${mean.toFixed(2)} cores on average, at most ${most.toFixed(2)}`,
    ),
  ];
}

function fact<T>(name: string, value: T | undefined, show: (value: T) => string): readonly Fact[] {
  return value === undefined ? [] : [[name, show(value)]];
}

function factRow([name, value]: Fact): Markup {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}
