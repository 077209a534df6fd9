import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeTinyModel } from '../tiny-model.ts';
import { files, type Malformed } from './change.ts';

/** What the user named is no model, or cannot be read. */
export const malformedPlaces: readonly Malformed[] = [
  { title: 'nothing there', make: (folder) => join(folder, 'none'), code: 'missing-file', says: ['There is no file'] },
  {
    title: 'an empty folder',
    make: (folder) => {
      mkdirSync(folder, { recursive: true });
      return folder;
    },
    code: 'not-a-model',
    says: ['neither a model.json nor a config.json'],
  },
  {
    title: 'a weight file for a model',
    make: (folder) => {
      makeTinyModel(folder);
      return join(folder, 'model.safetensors');
    },
    code: 'not-a-model',
    says: ['is not a model', 'a model.json, a folder with one, or a Hugging Face folder'],
  },
  {
    title: 'config.json for a model',
    make: (folder) => {
      makeTinyModel(folder);
      return join(folder, 'config.json');
    },
    code: 'wrong-format',
    says: ['is not an rtc model', '"rtc-model" was expected'],
  },
  {
    title: 'a Hugging Face folder without weights',
    make: files((folder) => rmSync(join(folder, 'model.safetensors')), { modelJson: false, ranks: undefined }),
    code: 'missing-file',
    says: ['neither a model.safetensors nor a model.safetensors.index.json'],
  },
  {
    title: 'a Hugging Face folder whose weights are pickled',
    make: files((folder) => renameSync(join(folder, 'model.safetensors'), join(folder, 'pytorch_model.bin')), {
      modelJson: false,
      ranks: undefined,
    }),
    code: 'missing-file',
    says: ['neither a model.safetensors'],
  },
  {
    title: 'model.json is a folder',
    make: files((folder) => {
      rmSync(join(folder, 'model.json'));
      mkdirSync(join(folder, 'model.json'));
    }),
    code: 'not-a-file',
    in: 'model.json',
    says: ['is not a file'],
  },
  {
    title: 'an unreadable model.json',
    make: files((folder) => chmodSync(join(folder, 'model.json'), 0)),
    code: 'unreadable-file',
    in: 'model.json',
    says: ['may not be read'],
    permissions: true,
  },
  {
    title: 'unreadable weights',
    make: files((folder) => chmodSync(join(folder, 'model.safetensors'), 0)),
    code: 'unreadable-file',
    in: 'model.safetensors',
    says: ['may not be read'],
    permissions: true,
  },
  {
    title: 'an unreadable folder',
    make: files((folder) => chmodSync(folder, 0)),
    code: 'unreadable-file',
    says: ['may not be read'],
    permissions: true,
  },
];
