import type { BenchRun, BenchVariant, VariantKind } from '../../bench-document.ts';
import { html, type Markup, raw } from '../markup.ts';
import { coordinate, duration, percent, tickDuration, ticks } from '../quantities.ts';
import { variantOf } from '../variants.ts';
import { lanesOf, panelHeight, timelinePanel, workingShare } from './timeline-panel.ts';
import { stepsIn, type TimelineWindow, timelineWindow, tokensIn } from './timeline-window.ts';

/** Ways to batch that are drawn, in this order. */
const drawn: readonly VariantKind[] = ['full-depth', 'sequence-wise', 'sequence-wise-shrink', 'depth-wise'];

const left = 62;
const right = 12;
const width = 1000;
const panelGap = 18;
const axisHeight = 34;

/** Every slot at every step, for each way to batch, above one axis of time; nothing where no timeline was recorded. */
export function timelineSection(run: BenchRun, loops: number): Markup | undefined {
  const variants = drawn
    .map((kind) => variantOf(run, kind))
    .filter((variant): variant is BenchVariant => (variant?.timeline?.steps.length ?? 0) > 0);
  if (variants.length === 0) return undefined;
  const { maxRows } = run.workload;
  const window = timelineWindow(
    variants.map(({ timeline }) => timeline!.steps),
    maxRows,
  );
  const lanes = Math.max(1, ...variants.map((variant) => lanesOf(variant, window)));
  const laneHeight = Math.max(3, Math.min(18, Math.floor(160 / lanes)));
  const full = variants.find(({ kind }) => kind === 'full-depth');
  const fullDepthTokens = full && tokensIn(full.timeline!.steps, window);
  const height = panelHeight(lanes, laneHeight);
  const inner = width - left - right;
  const panels = variants.map((variant, i) =>
    timelinePanel(variant, {
      top: i * (height + panelGap),
      left,
      width: inner,
      laneHeight,
      lanes,
      maxRows,
      window,
      fullDepthTokens,
    }),
  );
  const bottom = variants.length * (height + panelGap) - panelGap;
  const x = (at: number) => coordinate(left + (inner * (at - window.from)) / (window.to - window.from));
  const title = titleOf(run, variants, window);
  const data = {
    left,
    width: inner,
    from: window.from,
    to: window.to,
    loops,
    panels: panels.map((panel) => panel.data),
  };
  return html`
<section>
  <h3>${title}</h3>
  <p>Each column is one call of the graph, as wide as the time it took; each row is a slot with its sequence, coloured by the
  depth it runs. All panels have the same axis of time. ${window.from > 0 && `Shown from ${duration(window.from)} on, when the slots have filled.`}</p>
  ${legend(loops, variants)}
  <div class="wide"><svg class="timeline" viewBox="0 0 ${width} ${bottom + axisHeight}" role="img" aria-label="${title}">
    ${panels.map((panel) => panel.svg)}
    <line class="axis" x1="${left}" x2="${width - right}" y1="${bottom + 4}" y2="${bottom + 4}"/>
    ${ticks(window.from, window.to, 8).map(
      (at) => html`<line class="axis" x1="${x(at)}" x2="${x(at)}" y1="${bottom + 4}" y2="${bottom + 9}"/>
    <text class="tick" x="${x(at)}" y="${bottom + 22}" text-anchor="middle">${tickDuration(at)}</text>`,
    )}
    <line class="pointer" x1="0" x2="0" y1="0" y2="${bottom + 4}" visibility="hidden"/>
  </svg></div>
  <script type="application/json" class="timeline-data">${raw(JSON.stringify(data).replaceAll('<', '\\u003c'))}</script>
</section>`;
}

function titleOf(run: BenchRun, variants: readonly BenchVariant[], window: TimelineWindow): string {
  const working = (kind: VariantKind) => {
    const steps = variants.find((variant) => variant.kind === kind)?.timeline?.steps ?? [];
    return workingShare(stepsIn(steps, window), run.workload.maxRows);
  };
  const busy = working('depth-wise');
  const waiting = working('sequence-wise');
  if (busy === undefined) return `What the slots did for ${duration(window.to - window.from)}`;
  if (waiting === undefined)
    return `Depth-wise, ${percent(busy)} of the rows work: who leaves goes on in the next step`;
  return `Depth-wise, ${percent(busy)} of the rows work; when rows wait for the deepest, ${percent(waiting)}`;
}

function legend(loops: number, variants: readonly BenchVariant[]): Markup {
  const roles = new Set(
    variants.flatMap(({ timeline }) => timeline!.steps.flatMap(({ rows }) => rows.map((row) => row[2]))),
  );
  const swatch = (kind: string, text: string) =>
    html`<li><svg width="16" height="12" aria-hidden="true"><rect class="${kind}" width="16" height="12" rx="1"/></svg>${text}</li>`;
  return html`
<ul class="legend">
  ${Array.from({ length: loops }, (_, depth) => swatch(`depth-${depth}`, `loop ${depth + 1}`))}
  ${roles.has('idle') && swatch('idle', 'has left, waits')}
  ${roles.has('background') && swatch(`depth-${loops - 1} background`, 'runs on for its keys and values')}
  ${roles.has('prompt') && swatch('prompt', 'prompt')}
  ${roles.has('replay') && swatch('depth-0 replay', 'again, after making room')}
  <li><svg width="16" height="12" aria-hidden="true"><rect class="depth-${loops - 1}" width="16" height="12" rx="1"/><path class="token-rim" d="M8 6h0"/><path class="token-mark" d="M8 6h0"/></svg>gives a token</li>
  <li><svg width="16" height="12" aria-hidden="true"><rect class="depth-${loops - 1}" width="16" height="12" rx="1"/><path class="end-mark" d="M14 0v12"/></svg>last token of its sequence</li>
  <li><svg width="16" height="12" aria-hidden="true"><rect class="lanes" width="16" height="12" rx="1"/></svg>not in this step</li>
</ul>`;
}
