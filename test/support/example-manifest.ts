import type { PackageManifest } from '../../files/manifest.ts';

const bytes = (stored: number, unrolled: number = stored) => ({ stored, unrolled });

/** A manifest of a model of one block layer and two loops, whose files do not exist. */
export function exampleManifest(): PackageManifest {
  return {
    format: 'rtc-package',
    version: 1,
    rtc: '0.1.0',
    name: 'example',
    form: 'unrolled',
    target: 'onnx',
    dialect: 'portable',
    layout: 'rtc',
    precision: { compute: 'f32', weights: 'checkpoint' },
    graphs: {
      'model.onnx': {
        inputs: [
          { name: 'input_ids', dtype: 'i64', dims: ['batch', 'sequence'] },
          { name: 'attention_mask', dtype: 'i64', dims: ['batch', 'past+sequence'] },
          { name: 'past_key_values.0.key', dtype: 'f32', dims: ['batch', 2, 'past', 8] },
        ],
        outputs: [{ name: 'logits', dtype: 'f32', dims: ['batch', 'sequence', 64] }],
      },
    },
    files: {
      'config.json': { origin: 'written', size: 2, sha256: '0'.repeat(64) },
      'model.json': { origin: 'written', size: 2, sha256: '0'.repeat(64) },
      'model.onnx': { origin: 'written', size: 10, sha256: '1'.repeat(64) },
      'model.safetensors': { origin: 'checkpoint', size: 100, headerSha256: '2'.repeat(64) },
    },
    recursion: { prelude: 0, block: 1, loops: 2, coda: 0 },
    exits: { after: [1], confidence: 'top1', threshold: 1, logits: false },
    cache: {
      dtype: 'f32',
      heads: 2,
      headDim: 8,
      layers: [
        { part: 'block', layer: 0, depth: 0 },
        { part: 'block', layer: 0, depth: 1 },
      ],
    },
    source: { folder: '', model: 'model.json', config: 'config.json', missing: [] },
    config: { model_type: 'llama' },
    passes: ['fold-loop', 'unroll-loop'],
    sizes: {
      block: bytes(50, 100),
      prelude: bytes(0),
      coda: bytes(0),
      lora: bytes(0),
      embeddings: bytes(30),
      head: bytes(20),
      exits: bytes(0),
      other: bytes(0),
    },
  };
}
