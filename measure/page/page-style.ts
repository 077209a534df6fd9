import { depthColors } from './depth-colors.ts';

/** The style sheet of the page: light, dark, and on paper. */
export function pageStyle(loops: number): string {
  const depths = depthColors(loops).map((color, depth) => `.depth-${depth}{fill:${color}}`);
  return `${sheet}\n${depths.join('\n')}`;
}

const light = `--page:#fff;--ink:#191c21;--muted:#5c6470;--line:#d5d9df;--faint:#eef0f3;--best:#2b6cb8;--other:#a9b1bc;
--idle:#e2867b;--prompt:#8f97a3;--mark:#b3261e;--end:#101215;--loss:#cf8f2e`;
const dark = `--page:#14171b;--ink:#e9ecef;--muted:#a0a8b3;--line:#3a414b;--faint:#22272e;--best:#5b9be6;--other:#69727e;
--idle:#b0584e;--prompt:#737b87;--mark:#ff8f86;--end:#fff;--loss:#d9a14a`;

const sheet = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:1080px;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.75rem;line-height:1.25;margin:.2rem 0 .6rem;text-wrap:balance}
h2{font-size:1.35rem;margin:3rem 0 .25rem;padding-top:1rem;border-top:1px solid var(--line)}
h3{font-size:1.08rem;margin:1.6rem 0 .2rem;text-wrap:balance}
p{margin:.2rem 0 .7rem;color:var(--muted);font-size:.92rem;max-width:52rem}
.kicker{color:var(--muted);font-size:.92rem;margin:0}
nav{font-size:.92rem;margin:.8rem 0 0}nav a{color:var(--best);margin-right:1.2rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1.2rem 0 0;padding:0;list-style:none}
.tiles li{background:var(--faint);border-radius:8px;padding:.7rem .9rem}
.tiles strong{display:block;font-size:1.5rem;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles span{color:var(--muted);font-size:.84rem;line-height:1.3;display:block}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:0 2rem;align-items:start}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.2rem 0 .5rem;padding:0;list-style:none;font-size:.84rem;color:var(--muted)}
.legend li{display:inline-flex;align-items:center;gap:.4rem}
.legend svg{width:auto;flex:none}
.wide{overflow-x:auto}.wide>svg{min-width:640px}.columns .wide>svg{min-width:0}
svg{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
figure{margin:0}
text{fill:var(--ink)}
.tick,.muted{fill:var(--muted)}.tick{font-size:11px}
.panel-title,.strong,.column-title{font-weight:600}.panel-title .muted{font-weight:400}
.inside{fill:#fff;font-size:11px;pointer-events:none}
.bar-text,.mark-text,.point-text{paint-order:stroke;stroke:var(--page);stroke-width:4px;stroke-linejoin:round}
.point-text{fill:var(--muted);font-size:10.5px}
.axis{stroke:var(--muted);stroke-width:1}.grid{stroke:var(--line);stroke-width:1}
svg svg{overflow:hidden}
.lanes{fill:var(--faint)}.idle{fill:var(--idle)}.prompt{fill:var(--prompt)}
.background{opacity:.45}.replay{opacity:.6}.second{opacity:.55}
.token-mark{stroke:#fff;stroke-width:3;stroke-linecap:round}.token-rim{stroke:#10151c;stroke-width:4.6;stroke-linecap:round;opacity:.55}
.end-mark{stroke:var(--end);stroke-width:2.4}
.working{fill:var(--muted);opacity:.75}
.pointer{stroke:var(--ink);stroke-width:1;pointer-events:none}
.best{fill:var(--best)}.other{fill:var(--other)}.loss{fill:var(--loss)}
.whisker{stroke:var(--ink);stroke-width:1.4;fill:none}
.dot{fill:var(--ink);stroke:var(--page);stroke-width:1.5}
.mark{stroke:var(--mark);stroke-width:1.6}.dashed{stroke-dasharray:5 4}.mark-text{fill:var(--mark);font-size:11.5px}
.line{fill:none;stroke-width:2}.marker{stroke:var(--page);stroke-width:1}
.line-0{stroke:var(--best)}.line-1{stroke:#cc6b2c}.line-2{stroke:#2f9e77}.line-3{stroke:#a05bb5}.line-4{stroke:#8b8f2a}
.marker.line-0{fill:var(--best)}.marker.line-1{fill:#cc6b2c}.marker.line-2{fill:#2f9e77}.marker.line-3{fill:#a05bb5}.marker.line-4{fill:#8b8f2a}
.marker{stroke:var(--page)!important}
.part-block{fill:#4477aa}.part-attention{fill:#2f8f9d}.part-padding{fill:#d6604d}.part-prompt{fill:#8f97a3}
.part-head{fill:#b8860b}.part-cache{fill:#aa3377}.part-host{fill:#228833}.part-wait{fill:var(--line)}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;margin:.4rem 0}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th[scope=row],th:first-child{text-align:left;font-weight:400}th[scope=col]{color:var(--muted);font-weight:600;white-space:normal;vertical-align:bottom}
details{font-size:.9rem;margin:.3rem 0 0}summary{cursor:pointer;color:var(--muted)}
dl{margin:.4rem 0;font-size:.9rem}dl div{display:flex;gap:1rem;padding:.16rem 0}dt{color:var(--muted);flex:0 0 11.5rem}dd{margin:0}
#tip{position:fixed;pointer-events:none;background:var(--ink);color:var(--page);padding:.4rem .6rem;border-radius:6px;font-size:.82rem;line-height:1.35;max-width:22rem;white-space:pre-line;z-index:1}
footer{margin-top:3rem;color:var(--muted);font-size:.84rem}
@media print{:root{color-scheme:light;${light}}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{max-width:none;padding:0;font-size:12px}section,figure{break-inside:avoid}h2,h3{break-after:avoid}h2{margin-top:1.2rem}.run+.run{break-before:page}
.columns{grid-template-columns:1fr 1fr;break-inside:avoid}nav,#tip,summary{display:none}
.wide{overflow:visible}.wide>svg{min-width:0}}`;
