import type { TinyModel, TinyTensor } from './tiny-model.ts';

const layerName = /^(?<prefix>model|gpt_neox)\.layers\.(?<layer>\d+)\.(?<path>.+)$/;
const factorName = /^(?<module>.+)\.lora_(?<factor>[AB])\.depth_(?<depth>\d+)\.weight$/;
const ownNorm = /^(?<module>.+)\.depth_(?<depth>\d+)\.(?<part>weight|bias)$/;

/**
 * The ordinary checkpoint that a recursive one stands for, in plain code that knows no model.json: one layer after the
 * other as `order` lists stored ones, each with a copy of its tensors, its own norms where depths have them, and its
 * factors multiplied out. The d-th use of a stored layer is depth d.
 */
export function spelledOut({ modelJson, config, tensors }: TinyModel, order: readonly number[]): TinyModel {
  const alpha = (modelJson.lora as { readonly alpha?: number } | undefined)?.alpha;
  const copies = order.flatMap((stored, layer) => {
    const depth = order.slice(0, layer).filter((other) => other === stored).length;
    const own = tensors.flatMap((tensor): readonly (TinyTensor & { readonly path: string })[] => {
      const parts = layerName.exec(tensor.name)?.groups;
      return parts && Number(parts.layer) === stored ? [{ ...tensor, path: parts.path! }] : [];
    });
    const prefix = tensors.find(({ name }) => layerName.test(name))!.name.split('.')[0]!;
    return own.flatMap(({ path, ...tensor }): readonly TinyTensor[] => {
      if (factorName.test(path)) return [];
      const norm = ownNorm.exec(path)?.groups;
      if (norm && Number(norm.depth) !== depth) return [];
      const plain = norm ? `${norm.module}.${norm.part}` : path;
      const factor = (letter: string) =>
        own.find((other) => other.path === `${path.replace(/\.weight$/, '')}.lora_${letter}.depth_${depth}.weight`);
      const [a, b] = [factor('A'), factor('B')];
      const values = a && b ? merged(tensor, a, b, alpha) : tensor.values;
      return [{ ...tensor, name: `${prefix}.layers.${layer}.${plain}`, values }];
    });
  });
  const types = config.layer_types as readonly string[] | undefined;
  return {
    modelJson,
    config: {
      ...config,
      num_hidden_layers: order.length,
      ...(types && { layer_types: order.map((stored) => types[stored]) }),
    },
    tensors: [...tensors.filter(({ name }) => !layerName.test(name)), ...copies],
  };
}

/** W + (alpha / rank) · B A, or W + B A without an alpha. */
function merged(weight: TinyTensor, a: TinyTensor, b: TinyTensor, alpha: number | undefined): readonly number[] {
  const [rank, columns] = a.shape as [number, number];
  const scale = alpha === undefined ? 1 : alpha / rank;
  return weight.values.map((value, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += b.values[row * rank + r]! * a.values[r * columns + column]!;
    return value + scale * sum;
  });
}
