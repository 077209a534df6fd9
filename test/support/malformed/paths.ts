import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { changed, files, linkedOut, type Malformed, modelJson, type Tree } from './change.ts';

/** Paths and links that lead out of the folder. */
export const malformedPaths: readonly Malformed[] = [
  ...['../model.safetensors', 'sub/../../model.safetensors', '/etc/model.safetensors', 'C:/model.safetensors'].map(
    (path): Malformed => ({
      title: `weights at ${path}`,
      make: modelJson((m) => (m.weights = [path])),
      code: 'path-leaves-folder',
      at: 'weights[0]',
      says: [`The path "${path}"`],
    }),
  ),
  {
    title: 'a config above the folder',
    make: modelJson((m) => (m.config = '../config.json')),
    code: 'path-leaves-folder',
    at: 'config',
    says: ['".." is not allowed'],
  },
  {
    title: 'a path with a NUL in it',
    make: modelJson((m) => (m.config = 'config\u0000.json')),
    code: 'bad-path',
    at: 'config',
    says: ['a NUL character'],
  },
  {
    title: 'a path with backslashes',
    make: modelJson((m) => (m.config = '..\\config.json')),
    code: 'bad-path',
    at: 'config',
    says: ['forward slashes were expected'],
  },
  ...[
    ['model.safetensors', 'weights[0]'],
    ['config.json', 'config'],
    ['model.json', undefined],
  ].map(
    ([name, at]): Malformed => ({
      title: `${name} is a link that leads out`,
      make: linkedOut(name!),
      code: 'path-leaves-folder',
      ...(at === undefined ? {} : { at }),
      says: [`"${name}" is, or passes through, a symbolic link that leads out`],
    }),
  ),
  {
    title: 'a folder in the path is a link that leads out',
    make: changed(
      (model) => {
        (model.modelJson as Tree).config = 'sub/config.json';
      },
      {},
      (folder) => {
        mkdirSync(`${folder}-sub`);
        renameSync(join(folder, 'config.json'), join(`${folder}-sub`, 'config.json'));
        symlinkSync(`${folder}-sub`, join(folder, 'sub'));
      },
    ),
    code: 'path-leaves-folder',
    at: 'config',
    says: ['passes through, a symbolic link'],
  },
  {
    title: 'a link that leads to itself',
    make: files((folder) => {
      rmSync(join(folder, 'config.json'));
      symlinkSync('config.json', join(folder, 'config.json'));
    }),
    code: 'missing-file',
    at: 'config',
    says: ['a symbolic link that leads to itself'],
  },
  {
    title: 'a tokenizer that is a link that leads out',
    make: files((folder) => {
      writeFileSync(`${folder}-tokenizer.json`, '{}');
      symlinkSync(`${folder}-tokenizer.json`, join(folder, 'tokenizer.json'));
    }),
    code: 'path-leaves-folder',
    says: ['"tokenizer.json"', 'symbolic link'],
  },
];
