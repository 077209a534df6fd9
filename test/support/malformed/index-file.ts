import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeJson, writeTinyWeights } from '../tiny-model.ts';
import { changed, files, index, type Malformed, type Tree } from './change.ts';

/** An index and shards that do not say the same. */
export const malformedIndexFile: readonly Malformed[] = [
  {
    title: 'an index of nothing',
    make: index((map) => {
      for (const key of Object.keys(map)) delete map[key];
    }),
    code: 'invalid-index',
    at: 'weight_map',
    says: ['an object of tensor names and files', 'an empty one'],
  },
  {
    title: 'an index without weight_map',
    make: files((folder) => writeJson(join(folder, 'model.safetensors.index.json'), {}), { shards: 2 }),
    code: 'invalid-index',
    at: 'weight_map',
    says: ['found nothing'],
  },
  {
    title: 'an index that names no file',
    make: index((map) => (map['model.norm.weight'] = 3 as unknown as string)),
    code: 'invalid-index',
    at: 'weight_map["model.norm.weight"]',
    says: ['in 3', 'the name of a file'],
  },
  {
    title: 'a shard that is not there',
    make: index(
      () => undefined,
      (folder) => rmSync(join(folder, 'model-2-of-2.safetensors')),
    ),
    code: 'missing-file',
    says: ['model-2-of-2.safetensors'],
  },
  {
    title: 'a shard outside',
    make: index((map) => (map['model.norm.weight'] = '../model-1-of-2.safetensors')),
    code: 'path-leaves-folder',
    at: 'weight_map["model.norm.weight"]',
    says: ['".." is not allowed'],
  },
  {
    title: 'a tensor in the other shard',
    make: index((map) => {
      const name = Object.keys(map)[0]!;
      map[name] = map[name] === 'model-1-of-2.safetensors' ? 'model-2-of-2.safetensors' : 'model-1-of-2.safetensors';
    }),
    code: 'index-mismatch',
    says: ['The index says', 'but it is in "model-'],
  },
  {
    title: 'a tensor that no shard has',
    make: index((map) => (map['model.zebra'] = 'model-1-of-2.safetensors')),
    code: 'index-mismatch',
    at: 'weight_map["model.zebra"]',
    says: ['no shard has it'],
  },
  {
    title: 'a tensor that the index does not list',
    make: index((map) => delete map['model.norm.weight']),
    code: 'index-mismatch',
    at: 'weight_map',
    says: ['"model.norm.weight"', 'the index does not list it'],
  },
  {
    title: 'a tensor in two files',
    make: changed(
      (model) => (model.modelJson as Tree).weights.push('more.safetensors'),
      {},
      (folder) => {
        const tensor = { name: 'model.norm.weight', dtype: 'f32' as const, shape: [1], values: [1] };
        writeTinyWeights(join(folder, 'more.safetensors'), [tensor]);
      },
    ),
    code: 'duplicate-tensor',
    at: 'model.norm.weight',
    says: ['is in "model.safetensors" and in "more.safetensors"'],
  },
];
