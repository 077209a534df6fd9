import type { BenchDocument, BenchRun } from '../bench-document.ts';
import { breakdownSection } from './breakdown-section.ts';
import { exitsSection } from './exits-section.ts';
import { factsSection } from './facts-section.ts';
import { latencySection } from './latency-section.ts';
import { lossesSection } from './losses-section.ts';
import { html, type Markup, raw } from './markup.ts';
import { pageScript } from './page-script.ts';
import { pageStyle } from './page-style.ts';
import { profileSection } from './profile-section.ts';
import { qualitySection } from './quality-section.ts';
import { percent, plural, quantity, times } from './quantities.ts';
import { throughputSection } from './throughput-section.ts';
import { timelineSection } from './timeline/timeline-section.ts';
import { gainOf, hasSteadyRates, rateOf, variantOf } from './variants.ts';

/**
 * What `rtc bench` found, as one page of HTML that needs nothing else: no network, no other file. Shows what the
 * document has, leaves out what it has not, and says findings in its titles. The same document gives the same page.
 */
export function benchPage(document: BenchDocument): string {
  const { package: model, runs, environment } = document;
  const title = titleOf(document);
  return `<!doctype html>\n${
    html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="rtc ${environment.rtc}">
<title>${model.name}: ${title}</title>
<style>${raw(pageStyle(model.loops))}</style>
</head>
<body>
<header>
  <p class="kicker">rtc bench · ${model.name} · ${environment.cpu}, ${plural(environment.threads, 'thread')}</p>
  <h1>${title}</h1>
  ${runs.length > 0 && tiles(runs[0]!)}
  ${runs.length > 1 && html`<nav>${runs.map((run, i) => html`<a href="#run-${i}">${plural(run.workload.maxRows, 'row')}</a>`)}</nav>`}
</header>
<main>
${runs.map((run, i) => runPart(run, i, model.loops))}
${qualitySection(document)}
${profileSection(document.profile)}
${factsSection(document)}
</main>
<footer>Written by rtc ${environment.rtc} from the document that rtc bench --json prints.</footer>
<div id="tip" role="status" hidden></div>
<script>${raw(pageScript)}</script>
</body>
</html>`.markup
  }\n`;
}

function runPart(run: BenchRun, index: number, loops: number): Markup {
  return html`
<div class="run" id="run-${index}">
<h2>With ${plural(run.workload.maxRows, 'row')} a step</h2>
${(run.doubts ?? []).map((doubt) => html`<p><strong>Beware:</strong> ${doubt}</p>`)}
${throughputSection(run)}
${timelineSection(run, loops)}
<div class="columns">${exitsSection(run)}${lossesSection(run)}</div>
${breakdownSection(run)}
${latencySection(run)}
</div>`;
}

function titleOf({ runs, quality }: BenchDocument): string {
  const [run] = runs;
  const gain = run && gainOf(run, 'depth-wise', 'full-depth');
  if (run === undefined) return quality === undefined ? 'What a pass takes, by rows' : 'Accuracy against threshold';
  if (gain === undefined)
    return `${plural(run.variants.length, 'way')} to run ${plural(run.workload.sequences, 'sequence')}`;
  const rate = rateOf(variantOf(run, 'depth-wise')!, hasSteadyRates(run)).median;
  const gains = runs.map((each) => gainOf(each, 'depth-wise', 'full-depth')).filter((each) => each !== undefined);
  const [low, high] = [Math.min(...gains), Math.max(...gains)].map((each) => each.toFixed(2));
  const range = low === high ? times(gain) : `${low} to ${high} ×`;
  const rows =
    runs.length > 1
      ? `, ${quantity(rate)} tokens/s at ${plural(run.workload.maxRows, 'row')}`
      : `, ${quantity(rate)} tokens/s`;
  return `Depth-wise batching makes ${range} the tokens of full depth${rows}`;
}

function tiles(run: BenchRun): Markup {
  const { bounds, workload } = run;
  const overShrink = gainOf(run, 'depth-wise', 'sequence-wise-shrink');
  const depthWise = variantOf(run, 'depth-wise');
  const host = depthWise?.steady?.hostShare;
  const tile = (value: string, text: string) => html`<li><strong>${value}</strong><span>${text}</span></li>`;
  return html`
  <ul class="tiles">
    ${bounds && tile(times(bounds.reached), 'over full depth')}
    ${overShrink !== undefined && tile(times(overShrink), 'over sequence-wise batching that drops rows that left')}
    ${bounds && tile(percent(bounds.shareOfGainWithHeads), 'of what these exits allow, heads counted')}
    ${depthWise && tile(depthWise.meanExit.toFixed(2), `loops a token on average, of ${bounds?.loops ?? depthWise.exits.length}`)}
    ${host !== undefined && tile(percent(host), 'of the time outside ONNX Runtime')}
    ${tile(String(workload.maxRows), 'rows a step at most')}
  </ul>`;
}
