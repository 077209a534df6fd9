import type { RunOrder } from '../../files/run-order.ts';
import { storedCount } from '../architectures/layer-places.ts';
import type { ExitSpec } from '../read/source-model.ts';
import { formatBytes } from './format-bytes.ts';
import type { Heading } from './format-inspection.ts';
import { loopRows } from './format-loop.ts';
import { sizeRows } from './format-sizes.ts';
import { tensorRows } from './format-tensors.ts';
import type { LoraInspection, ModelInspection } from './inspection.ts';
import { printable } from './printable.ts';
import { listRows, plural, section } from './section.ts';

export function formatModel(model: ModelInspection, heading: Heading): readonly string[] {
  const { architecture, recursion, lora, exits, parameters, files, types } = model;
  const unrolled = recursion.prelude + recursion.block * recursion.loops + recursion.coda;
  const stored = storedCount(recursion);
  return [
    `${heading(printable(model.name))}  ${architecture.modelType} model`,
    ...section(
      'Structure',
      [
        ['hidden', `${architecture.hiddenSize}, intermediate ${architecture.intermediateSize}`],
        ['heads', `${architecture.heads} of ${architecture.headDim}, ${architecture.kvHeads} for keys and values`],
        ['vocabulary', `${plural(architecture.vocabSize, 'token')}${architecture.tiedEmbeddings ? ', head tied' : ''}`],
        ['positions', architecture.maxPositions.toLocaleString('en-US')],
        ...structureRows(recursion),
        ['layers', `${stored} stored, ${unrolled} run`],
        ...(recursion.norms === 'per-depth' ? [['norms', 'of their own at each depth']] : []),
        ...loraRows(lora),
        ...exitRows(exits),
        ['parameters', `${count(parameters.stored)} stored, ${count(parameters.unrolled)} unrolled`],
        ['types', types.map(({ type, bytes }) => `${formatBytes(bytes)} ${type}`).join(', ')],
      ],
      heading,
    ),
    ...section('Loop found in the graph', loopRows(model.loop), heading),
    ...section('Sizes', sizeRows(model.sizes), heading, ['left', 'right', 'right', 'right']),
    ...section(
      'Files',
      files.map(({ path, bytes, tensors }) => [printable(path), formatBytes(bytes), plural(tensors, 'tensor')]),
      heading,
      ['left', 'right', 'right'],
    ),
    ...section('Inputs', tensorRows(model.inputs), heading),
    ...section('Outputs', tensorRows(model.outputs), heading),
  ];
}

/** How often which layers run. */
export function structureRows({ prelude, block, loops, coda, layers }: RunOrder): readonly (readonly string[])[] {
  return [
    ...(prelude > 0 ? [['prelude', plural(prelude, 'layer')]] : []),
    ['block', `${plural(block, 'layer')} × ${plural(loops, 'loop')}`],
    ...(coda > 0 ? [['coda', plural(coda, 'layer')]] : []),
    ...(layers ? listRows('order', orderLines({ prelude, block, loops, layers })) : []),
  ];
}

/** `0, (1 × 2, 2) × 3, 3`: stored layers as they run, what runs several times in a row once; some a line. */
function orderLines({
  prelude,
  block,
  loops,
  layers,
}: Pick<RunOrder, 'prelude' | 'block' | 'loops'> & { readonly layers: readonly number[] }): readonly string[] {
  const inBlock = inRuns(layers.slice(prelude, prelude + block));
  if (loops > 1) {
    inBlock[0] = `(${inBlock[0]}`;
    inBlock.push(`${inBlock.pop()}) × ${loops}`);
  }
  const words = [...inRuns(layers.slice(0, prelude)), ...inBlock, ...inRuns(layers.slice(prelude + block))];
  const perLine = 12;
  return Array.from({ length: Math.ceil(words.length / perLine) }, (_, i) =>
    words.slice(i * perLine, (i + 1) * perLine).join(', '),
  );
}

function inRuns(layers: readonly number[]): string[] {
  const runs: { readonly layer: number; count: number }[] = [];
  for (const layer of layers) {
    const last = runs.at(-1);
    if (last?.layer === layer) last.count++;
    else runs.push({ layer, count: 1 });
  }
  return runs.map(({ layer, count: times }) => (times === 1 ? `${layer}` : `${layer} × ${times}`));
}

/** Where and when tokens leave. */
export function exitRows(exits: Pick<ExitSpec, 'after' | 'confidence' | 'threshold'> | undefined): readonly string[][] {
  if (exits === undefined || exits.after.length === 0) return [];
  const { after, confidence, threshold } = exits;
  const loops = `${after.length === 1 ? 'loop' : 'loops'} ${after.join(', ')}`;
  return [['exits', `after ${loops} when ${confidence} reaches ${threshold}${threshold >= 1 ? ', so never' : ''}`]];
}

function loraRows(lora: LoraInspection | undefined): readonly (readonly string[])[] {
  if (lora === undefined) return [];
  const ranks = lora.ranks.map((found) => (found.length === 0 ? 'none' : found.join(' and ')));
  const scale = lora.alpha === undefined ? '' : `, alpha ${lora.alpha}`;
  return [['LoRA', `rank ${ranks.join(', ')} by depth${scale}`], ...listRows('', lora.targets.map(printable))];
}

/** `1.15 M` */
function count(parameters: number): string {
  const [divisor, unit] = parameters >= 1e9 ? [1e9, ' G'] : parameters >= 1e6 ? [1e6, ' M'] : [1e3, ' k'];
  return parameters < 1e3 ? String(parameters) : `${(parameters / divisor).toPrecision(3)}${unit}`;
}
