/**
 * A model of the ort dialect with each layer's attention replaced by com.microsoft's GroupQueryAttention, heads in rows
 * and all: what dialects.js measures the two products a group against. The mask goes in as attention_bias, since lengths
 * alone cannot say left padding.
 */
export function withGroupQueryAttention(model, { heads, kvHeads, headDim }) {
  const { graph } = model;
  const maker = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node])));
  const made = [];
  let count = 0;
  const replaced = new Set();
  const node = (opType, inputs, outputs, { domain = '', attributes = {} } = {}) => {
    made.push({ name: `/gqa/${opType}_${count++}`, opType, domain, inputs, outputs, attributes });
    return outputs[0];
  };
  const int = (value) => ({ kind: 'int', value });
  const constants = [
    constant('one', 'INT64', [1], new BigInt64Array([1n])),
    constant('first', 'INT64', [1], new BigInt64Array([0n])),
    constant('query_width', 'INT64', [1], new BigInt64Array([BigInt(heads * headDim)])),
    constant('key_width', 'INT64', [1], new BigInt64Array([BigInt(kvHeads * headDim)])),
  ];
  const axis = (input, at, name) =>
    node('Shape', [input], [name], { attributes: { start: int(at), end: int(at + 1) } });
  const batch = axis('input_ids', 0, 'gqa.batch');
  const sequence = axis('input_ids', 1, 'gqa.sequence');
  const total = axis('attention_mask', 1, 'gqa.total');
  const join = (last, name) => node('Concat', [batch, sequence, last], [name], { attributes: { axis: int(0) } });
  const queryShape = join('gqa.query_width', 'gqa.query_shape');
  const keyShape = join('gqa.key_width', 'gqa.key_shape');
  const cast = (x, name) => node('Cast', [x], [name], { attributes: { to: int(6) } });
  const last = cast(node('Sub', [total, 'gqa.one'], ['gqa.last']), 'gqa.last32');
  const lengths = node('Expand', [last, batch], ['gqa.lengths']);
  const all = cast(node('Squeeze', [total, 'gqa.first'], ['gqa.total_scalar']), 'gqa.total32');

  // A projection before it was split into heads: [batch*sequence, width].
  const projection = (split) => maker.get(maker.get(split).inputs[0]).inputs[0];
  const nodes = graph.nodes.flatMap((original) => {
    if (original.opType !== 'Softmax') return [original];
    const masked = maker.get(original.inputs[0]);
    const queries = maker.get(maker.get(maker.get(masked.inputs[0]).inputs[0]).inputs[0]);
    const rotated = maker.get(queries.inputs[0]);
    const keys = maker.get(maker.get(maker.get(masked.inputs[0]).inputs[1]).inputs[0]);
    const product = graph.nodes.find(({ inputs }) => inputs[0] === original.outputs[0]);
    const values = maker.get(product.inputs[1]);
    const apart = graph.nodes.find(({ inputs }) => inputs[0] === product.outputs[0]);
    const turned = graph.nodes.find(({ inputs }) => inputs[0] === apart.outputs[0]);
    const joined = graph.nodes.find(({ inputs }) => inputs[0] === turned.outputs[0]);
    const start = made.length;
    const layer = keys.inputs[0];
    const rotate = ({ inputs }, shape, name) => {
      const rows = node('Reshape', [projection(inputs[0]), shape], [`gqa.${layer}.${name}`]);
      const rest = inputs.slice(1);
      return node('RotaryEmbedding', [rows, ...rest], [`gqa.${layer}.${name}.rotated`], { domain: 'com.microsoft' });
    };
    const q = rotate(rotated, queryShape, 'q');
    const k = rotate(maker.get(keys.inputs[1]), keyShape, 'k');
    const v = node('Reshape', [projection(values.inputs[1]), keyShape], [`gqa.${layer}.v`]);
    // Undoes what the bias was repeated for: one row per query, not one per query of a group.
    const expanded = maker.get(masked.inputs[1]);
    const bias = maker.get(maker.get(expanded.inputs[0]).inputs[0]).inputs[0];
    const outputs = [`gqa.${layer}.out`, keys.outputs[0], values.outputs[0]];
    const inputs = [q, k, v, keys.inputs[0], values.inputs[0], lengths, all, '', '', '', bias];
    const attributes = { num_heads: int(heads), kv_num_heads: int(kvHeads) };
    const attended = node('GroupQueryAttention', inputs, outputs, { domain: 'com.microsoft', attributes });
    node('Reshape', [attended, joined.inputs[1]], joined.outputs);
    for (const gone of [keys, values, joined]) replaced.add(gone);
    return made.splice(start);
  });
  const kept = nodes.filter((each) => !replaced.has(each));
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const live = withoutUnused([...made, ...kept], outputs);
  return {
    ...model,
    graph: { ...graph, nodes: live, valueInfo: [], initializers: [...graph.initializers, ...constants] },
  };
}

function constant(name, elementType, dims, numbers) {
  const bytes = new Uint8Array(numbers.buffer);
  return { name: `gqa.${name}`, elementType, dims, data: { kind: 'inline', bytes } };
}

/** The nodes that lead to an output. */
function withoutUnused(nodes, outputs) {
  const wanted = new Set(outputs);
  return nodes
    .toReversed()
    .filter((node) => {
      if (!node.outputs.some((output) => wanted.has(output))) return false;
      for (const input of node.inputs) wanted.add(input);
      return true;
    })
    .toReversed();
}
