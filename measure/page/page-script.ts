/** Tells what is under the pointer in a timeline. The page is complete without it. */
export const pageScript = `
'use strict';
(() => {
  const tip = document.getElementById('tip');
  const roles = { prompt: 'prompt', token: 'token', background: 'runs on for its keys and values', replay: 'again, after making room', idle: 'has left and waits' };
  const outcomes = { stays: '', leaves: '; gives a token here', ends: '; gives its last token here' };
  const time = (ms) => ms >= 1000 ? (ms / 1000).toFixed(3) + ' s' : ms.toFixed(2) + ' ms';
  for (const holder of document.querySelectorAll('.timeline-data')) {
    const data = JSON.parse(holder.textContent);
    const svg = holder.parentElement.querySelector('svg.timeline');
    const line = svg.querySelector('.pointer');
    const hide = () => { tip.hidden = true; line.setAttribute('visibility', 'hidden'); };
    svg.addEventListener('pointerleave', hide);
    svg.addEventListener('pointermove', (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const ms = data.from + (at.x - data.left) / data.width * (data.to - data.from);
      const panel = data.panels.find(({ top, laneHeight, lanes }) => at.y >= top - 24 && at.y < top + lanes * laneHeight + 30);
      const index = panel ? panel.steps.findIndex(([start, took]) => ms >= start && ms < start + took) : -1;
      if (index < 0) return hide();
      const [start, took, run, heads, rows] = panel.steps[index];
      const lane = Math.floor((at.y - panel.top) / panel.laneHeight);
      const row = rows.find(([own]) => own === lane);
      const working = rows.filter((each) => each[3] !== 'idle').length;
      const lines = [panel.label + ', step at ' + time(start) + ': ' + time(took) + ', of which ' + time(run) + ' in ONNX Runtime',
        working + (working === 1 ? ' row at work, ' : ' rows at work, ') + heads + (heads === 1 ? ' head' : ' heads')];
      if (row) lines.push('slot ' + (lane + 1) + ': sequence ' + row[1] + ', loop ' + (row[2] + 1) + ' of ' + data.loops + ', ' + roles[row[3]] + outcomes[row[4]]);
      else if (lane >= 0 && lane < panel.lanes) lines.push('slot ' + (lane + 1) + ': not in this step');
      tip.textContent = lines.join('\\n');
      tip.hidden = false;
      const box = tip.getBoundingClientRect();
      tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 4)) + 'px';
      tip.style.top = (event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18) + 'px';
      line.setAttribute('x1', at.x); line.setAttribute('x2', at.x); line.setAttribute('visibility', 'visible');
    });
  }
})();
`;
