import { a0, b0, changed, drop, extra, type Malformed, modelJson, resize, type Tree } from './change.ts';

/** Targets and low-rank factors that do not fit. */
export const malformedLora: readonly Malformed[] = [
  {
    title: 'a misspelt target',
    make: modelJson((m) => (m.lora.targets[0] = 'self_attn.q_porj')),
    code: 'unknown-target',
    at: 'lora.targets[0]',
    says: ['no linear module "self_attn.q_porj". Did you mean "self_attn.q_proj"?'],
  },
  {
    title: 'a norm as a target',
    make: modelJson((m) => m.lora.targets.push('input_layernorm')),
    code: 'unknown-target',
    at: 'lora.targets[7]',
    says: ['"input_layernorm"'],
  },
  {
    title: 'a target twice',
    make: modelJson((m) => m.lora.targets.push('mlp.up_proj')),
    code: 'duplicate-entry',
    at: 'lora.targets[7]',
    says: ['"mlp.up_proj" stands twice'],
  },
  {
    title: 'an alpha of zero',
    make: modelJson((m) => (m.lora.alpha = 0)),
    code: 'wrong-value',
    at: 'lora.alpha',
    says: ['above 0', 'found 0'],
  },
  { title: 'A without B', make: drop(b0), code: 'unpaired-lora', at: a0, says: ['has no partner', b0] },
  { title: 'B without A', make: drop(a0), code: 'unpaired-lora', at: b0, says: ['has no partner', a0] },
  {
    title: 'ranks that disagree',
    make: resize(a0, [3, 32]),
    code: 'lora-rank',
    at: a0,
    says: ['has rank 3', 'has rank 2'],
  },
  {
    title: 'a factor of the wrong width',
    make: resize(a0, [2, 33]),
    code: 'wrong-shape',
    at: a0,
    says: ['[2, 33]', '[rank, 32] was expected'],
  },
  {
    title: 'a factor of no rank',
    make: resize(a0, [0, 32]),
    code: 'wrong-shape',
    at: a0,
    says: ['[0, 32]', '[rank, 32] was expected'],
  },
  {
    title: 'factors for a depth that is not run',
    make: extra('model.layers.0.mlp.up_proj.lora_A.depth_2.weight', [2, 32]),
    code: 'surplus-tensor',
    at: 'model.layers.0.mlp.up_proj.lora_A.depth_2.weight',
    says: ['its depth is 2', 'depths 0 to 1'],
  },
  {
    title: 'factors of an ordinary adapter',
    make: extra('model.layers.0.mlp.up_proj.lora_A.default.weight', [2, 32]),
    code: 'surplus-tensor',
    at: 'model.layers.0.mlp.up_proj.lora_A.default.weight',
    says: ['its adapter is "default"', 'depth_0 to depth_1'],
  },
  {
    title: 'factors outside the block',
    make: extra('model.layers.0.mlp.up_proj.lora_A.depth_0.weight', [2, 32], { prelude: 1 }),
    code: 'surplus-tensor',
    at: 'model.layers.0.mlp.up_proj.lora_A.depth_0.weight',
    says: ['layer 0 is not of the block', 'layers 1 to 2'],
  },
  {
    title: 'factors of a module that is no target',
    make: changed((model) => {
      (model.modelJson as Tree).lora.targets = ['mlp.up_proj'];
    }),
    code: 'surplus-tensor',
    at: 'model.layers.0.mlp.down_proj.lora_A.depth_0.weight',
    says: ['"lora.targets" does not name "mlp.down_proj"'],
  },
  {
    title: 'factors without lora in model.json',
    make: modelJson((m) => delete m.lora),
    code: 'surplus-tensor',
    at: 'model.layers.0.mlp.down_proj.lora_A.depth_0.weight',
    says: ['model.json has no "lora"'],
  },
  {
    title: 'a target without any factor',
    make: modelJson((m) => (m.lora = { targets: ['mlp.up_proj'] }), { ranks: undefined }),
    code: 'missing-lora',
    at: 'lora.targets[0]',
    says: ['"mlp.up_proj"', 'no layer of the block has factors'],
  },
];
