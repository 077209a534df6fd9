import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { joinSafetensors } from '../safetensors-bytes.ts';
import { drop, extra, files, header, type Malformed, q0, resize, tensorNamed, tensors } from './change.ts';

/** Weight files that are damaged, or that hold other tensors. */
export const malformedWeights: readonly Malformed[] = [
  {
    title: 'weights cut in half',
    make: files((folder) => truncateSync(join(folder, 'model.safetensors'), 20_000)),
    code: 'tensor-out-of-range',
    in: 'model.safetensors',
    says: ['but the file has only'],
  },
  {
    title: 'weights cut in the header',
    make: files((folder) => truncateSync(join(folder, 'model.safetensors'), 100)),
    code: 'truncated-file',
    in: 'model.safetensors',
    says: ['The header says', 'has only 92'],
  },
  {
    title: 'empty weights',
    make: files((folder) => truncateSync(join(folder, 'model.safetensors'), 0)),
    code: 'truncated-file',
    in: 'model.safetensors',
    says: ['has 0 bytes'],
  },
  {
    title: 'a header of 2^60 bytes',
    make: files((folder) =>
      writeFileSync(join(folder, 'model.safetensors'), joinSafetensors('{}', Buffer.alloc(9), 2n ** 60n)),
    ),
    code: 'header-too-large',
    in: 'model.safetensors',
    says: ['at most 100000000'],
  },
  {
    title: 'tensors that overlap',
    make: header(
      (h) =>
        (h['model.norm.weight'].data_offsets = h[q0].data_offsets.map((o: number, i: number, all: number[]) =>
          i === 0 ? o : all[0]! + 128,
        )),
    ),
    code: 'overlapping-tensors',
    says: ['overlap'],
  },
  {
    title: 'an 8-bit type',
    make: header((h) => (h[q0].dtype = 'F8_E5M2')),
    code: 'unsupported-dtype',
    at: q0,
    says: ['"F8_E5M2"', 'rtc reads F64'],
  },
  {
    title: 'integer weights',
    make: header((h) => (h[q0].dtype = 'I32')),
    code: 'unsupported-dtype',
    at: q0,
    says: ['I32', 'F32, F16 or BF16'],
  },
  { title: 'a tensor missing', make: drop(q0), code: 'missing-tensor', at: q0, says: ['of shape [32, 32] is missing'] },
  {
    title: 'a tensor misspelt',
    make: tensors((list) => {
      const { at, tensor } = tensorNamed(list, q0);
      list[at] = { ...tensor, name: q0.replace('q_proj', 'q_porj') };
    }),
    code: 'missing-tensor',
    at: q0,
    says: ['is missing', 'There is "model.layers.0.self_attn.q_porj.weight"'],
  },
  {
    title: 'a tensor too many',
    make: extra('model.layers.0.self_attn.q_proj.bias', [32]),
    code: 'surplus-tensor',
    at: 'model.layers.0.self_attn.q_proj.bias',
    says: ['Nothing uses the tensor'],
  },
  {
    title: 'a layer too many',
    make: extra('model.layers.7.input_layernorm.weight', [32]),
    code: 'surplus-tensor',
    at: 'model.layers.7.input_layernorm.weight',
    says: ['the config counts 2 stored layers'],
  },
  {
    title: 'a wrong shape',
    make: resize(q0, [32, 31]),
    code: 'wrong-shape',
    at: q0,
    says: ['has the shape [32, 31]; [32, 32] was expected'],
  },
  {
    title: 'a missing axis',
    make: resize('model.norm.weight', []),
    code: 'wrong-shape',
    at: 'model.norm.weight',
    says: ['has the shape []; [32] was expected'],
  },
  {
    title: 'a tied head that is another',
    make: extra('lm_head.weight', [64, 32], { tied: true }),
    code: 'tied-head',
    at: 'lm_head.weight',
    says: ['ties "lm_head.weight" to "model.embed_tokens.weight"', 'they differ'],
  },
];
