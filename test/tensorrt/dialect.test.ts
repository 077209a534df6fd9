import { describe, expect, test } from 'vitest';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { dialectFor, findDialect } from '../../compiler/lower-model.ts';
import { dialects } from '../../targets/onnx/dialects.ts';
import { allNodes } from '../../targets/onnx/onnx-model.ts';
import { attentionNames } from '../../targets/tensorrt/attention-names.ts';
import { tensorrtDialect } from '../../targets/tensorrt/dialect.ts';
import { loweredModels, sourceModel, version } from './lowered-models.ts';

const chosen = (text: string, precision: 'f32' | 'f16' | 'bf16', attention: 'auto' | 'native' | 'parts') => {
  const found = tensorrtDialect(version(text), precision, attention);
  return found.ok ? found.value.attention : found.diagnostics[0]!.code;
};

describe('the dialect of a version', () => {
  test('auto takes Attention in 16 bits, and from 10.14 on', () => {
    expect(chosen('10.13', 'f16', 'auto')).toBe('parts');
    expect(chosen('10.14', 'f16', 'auto')).toBe('native');
    expect(chosen('11.1', 'bf16', 'auto')).toBe('native');
    // No kernel of TensorRT's fuses it in f32.
    expect(chosen('11.1', 'f32', 'auto')).toBe('parts');
  });

  test('what is asked for is given, or refused', () => {
    expect(chosen('11.1', 'f16', 'parts')).toBe('parts');
    expect(chosen('10.14', 'f32', 'native')).toBe('native');
    expect(chosen('10.13', 'f16', 'native')).toBe('no-native-attention');
    expect(tensorrtDialect(version('10.0'), 'f16', 'native')).toMatchObject({
      ok: false,
      diagnostics: [
        { message: expect.stringContaining('TensorRT 10.0 has no Attention: its parser reads it from 10.14') },
      ],
    });
  });

  test('opset 20 is what every version documents; Attention takes 23; no other domain is used', () => {
    for (const [text, attention, opset] of [
      ['10.0', 'parts', 20],
      ['11.1', 'parts', 20],
      ['11.1', 'native', 23],
    ] as const) {
      const found = tensorrtDialect(version(text), 'f16', attention);
      expect(found.ok && found.value.spec).toMatchObject({ opset, domains: [] });
      expect(found.ok && found.value.spec.keeps.has('attention')).toBe(attention === 'native');
    }
  });
});

describe('the dialect that options choose', () => {
  const options = (more: Partial<CompileOptions>): CompileOptions => ({ model: 'model', ...more });

  test('is the one of the target, else the one that is asked for', () => {
    expect(dialectFor(options({}))).toEqual({ name: 'portable', spec: dialects.portable, attention: 'parts' });
    expect(dialectFor(options({ dialect: 'ort' })).name).toBe('ort');
    expect(dialectFor(options({ target: 'tensorrt' }))).toMatchObject({ name: 'tensorrt', attention: 'parts' });
    // 10.16, where nobody says which version.
    expect(dialectFor(options({ target: 'tensorrt', precision: 'f16' })).attention).toBe('native');
    const old = options({ target: 'tensorrt', precision: 'f16', tensorrt: { tensorrtVersion: '10.9' } });
    expect(dialectFor(old).attention).toBe('parts');
    expect(dialectFor(options({ target: 'triton' })).name).toBe('portable');
  });

  test.each(['8.6.1', '9.3', 'newest', ''])('%j is no version that is written for', (tensorrtVersion) => {
    expect(findDialect(options({ target: 'tensorrt', tensorrt: { tensorrtVersion } }))).toMatchObject({
      ok: false,
      diagnostics: [
        { code: 'invalid-option', message: `The option "tensorrtVersion" is ${JSON.stringify(tensorrtVersion)}.` },
      ],
    });
  });

  test('a refusal comes back from lowering', async () => {
    const model = await sourceModel('llama-recursive');
    expect(() =>
      loweredModels(model, { form: 'unrolled', precision: 'f16', attention: 'native', version: '10.0' }),
    ).toThrow('no-native-attention');
  });
});

test('Attention attends to what pages hold and what is new, once for each layer and part', async () => {
  const graph = loweredModels(await sourceModel('llama-middle-cycle'), {
    form: 'depth-batched',
    precision: 'f16',
    attention: 'native',
  }).get('step.onnx')!;
  const count = (opType: string) => [...allNodes(graph.graph)].filter((node) => node.opType === opType).length;
  expect(attentionNames(graph)).toEqual([
    '/prelude/layer.0/self_attn/Attention',
    '/block/layer.1/self_attn/Attention',
    '/block/layer.2/self_attn/Attention',
    '/coda/layer.3/self_attn/Attention',
  ]);
  // The confidence's own.
  expect(count('Softmax')).toBe(1);
  // A mask for the rows that enter, one for all, one for those that leave.
  const masks = new Set(
    [...allNodes(graph.graph)].flatMap(({ opType, inputs }) => (opType === 'Attention' ? [inputs[3]] : [])),
  );
  expect(masks.size).toBe(3);
});
