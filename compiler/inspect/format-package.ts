import { mainGraph } from '../../files/package.ts';
import { engineRows } from './engine-rows.ts';
import { formatBytes } from './format-bytes.ts';
import type { Heading } from './format-inspection.ts';
import { exitRows, structureRows } from './format-model.ts';
import { graphRows, initializerRows, operatorRows } from './format-onnx.ts';
import { sizeRows } from './format-sizes.ts';
import { tensorRows } from './format-tensors.ts';
import type { PackageInspection } from './inspection.ts';
import { printable } from './printable.ts';
import { listRows, section } from './section.ts';

export function formatPackage({ manifest, graph, plans }: PackageInspection, heading: Heading): readonly string[] {
  const { form, dialect, target, precision, lora, exits, passes, rtc, layout, tensorrt } = manifest;
  const { file, inputs, outputs } = mainGraph(manifest);
  const others = Object.keys(manifest.graphs).filter((path) => path !== file);
  return [
    `${heading(printable(manifest.name))}  package of rtc ${printable(rtc)}`,
    ...section(
      'Structure',
      [
        ['form', `${form} for ${target}, ${dialect} dialect${layout === 'rtc' ? '' : `, ${layout} layout`}`],
        [
          'precision',
          `${precision.compute}, weights ${precision.weights === 'written' ? 'written' : 'as in the checkpoint'}`,
        ],
        ...structureRows(manifest.recursion),
        ...(lora ? [['LoRA', lora.strategy], ...listRows('', lora.targets.map(printable))] : []),
        ...exitRows(exits),
        ...passRows(passes, others),
      ],
      heading,
    ),
    ...(tensorrt
      ? section(
          `Engines for TensorRT ${printable(tensorrt.version)}, attention ${tensorrt.attention === 'native' ? 'as a layer' : 'in parts'}`,
          engineRows(manifest, tensorrt, plans),
          heading,
        )
      : []),
    ...section('Sizes in the checkpoint', sizeRows(manifest.sizes), heading, ['left', 'right', 'right', 'right']),
    ...section(
      'Files',
      Object.entries(manifest.files).map(([path, { size, origin }]) => [
        printable(path),
        formatBytes(size),
        origin === 'checkpoint' ? "the checkpoint's" : 'written',
      ]),
      heading,
      ['left', 'right', 'left'],
    ),
    ...section(
      'Graph',
      [['file', file], ...graphRows(graph), ...(others.length > 0 ? listRows('beside it', others) : [])],
      heading,
    ),
    ...section('Weights', initializerRows(graph), heading),
    ...section('Operators', operatorRows(graph), heading),
    ...section('Inputs', tensorRows(inputs.map(renamed)), heading),
    ...section('Outputs', tensorRows(outputs.map(renamed)), heading),
  ];
}

/** Those of the main graph, then those of each graph beside it, which rtc.json names behind the graph's own name. */
function passRows(passes: readonly string[], others: readonly string[]): readonly string[][] {
  const stems = others.map((file) => file.replace(/^.*\//, '').replace(/\.onnx$/, ''));
  const stemOf = (pass: string) => stems.find((stem) => pass.startsWith(`${stem}-`));
  const of = (stem: string | undefined) => passes.filter((pass) => stemOf(pass) === stem);
  return [
    ...listRows('passes', of(undefined).map(printable)),
    ...stems.flatMap((stem) =>
      listRows(
        `  of ${printable(stem)}`,
        of(stem).map((pass) => printable(pass.slice(stem.length + 1))),
      ),
    ),
  ];
}

function renamed<T extends { readonly dtype: string }>({ dtype, ...tensor }: T): Omit<T, 'dtype'> & { type: string } {
  return { ...tensor, type: dtype };
}
