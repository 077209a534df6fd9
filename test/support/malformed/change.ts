import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { joinSafetensors, splitSafetensors } from '../safetensors-bytes.ts';
import {
  type TinyModel,
  type TinyModelOptions,
  tinyDefaults,
  tinyModel,
  writeJson,
  writeTinyModel,
} from '../tiny-model.ts';

/** A model that must be refused, and what has to be said about it. */
export interface Malformed {
  readonly title: string;
  /** Writes it, starting from a valid tiny model; returns the path that the user would give. */
  readonly make: (folder: string) => string;
  readonly code: string;
  /** The JSON path or tensor name that the diagnostic names; undefined: none is asked for. */
  readonly at?: string;
  /** The file that it names, relative to the folder. */
  readonly in?: string;
  /** All of these are in its sentence: what was found, and what was expected. */
  readonly says: readonly string[];
  /** Needs an operating system that lets a user be refused: skipped for root. */
  readonly permissions?: boolean;
}

type Options = Partial<TinyModelOptions>;

/** A tiny model whose values are changed before they are written, and whose files are changed after. */
export function changed(
  change: (model: TinyModel, folder: string) => void,
  options: Options = {},
  after: (folder: string) => void = () => undefined,
): (folder: string) => string {
  return (folder) => {
    const complete = { ...tinyDefaults, ranks: [2, 3], exits: { after: [1] }, ...options };
    const model = tinyModel(complete);
    change(model, folder);
    writeTinyModel(folder, model, complete);
    after(folder);
    return folder;
  };
}

export const modelJson = (change: (json: Tree) => void, options?: Options) =>
  changed((model) => change(model.modelJson as Tree), options);
export const config = (change: (json: Tree) => void, options?: Options) =>
  changed((model) => change(model.config as Tree), options);
export const tensors = (change: (tensors: TinyModel['tensors']) => void, options?: Options) =>
  changed((model) => change(model.tensors), options);
export const files = (after: (folder: string) => void, options?: Options) => changed(() => undefined, options, after);

/** model.json replaced as text: what JSON.stringify would never write. */
export const modelText = (edit: (text: string) => string | Uint8Array) =>
  files((folder) => {
    const path = join(folder, 'model.json');
    writeFileSync(path, edit(readFileSync(path, 'utf8')));
  });

export const header = (edit: (header: Tree) => void) =>
  files((folder) => {
    const path = join(folder, 'model.safetensors');
    const parts = splitSafetensors(readFileSync(path));
    edit(parts.header as Tree);
    writeFileSync(path, joinSafetensors(parts.header, parts.data));
  });

export const index = (edit: (map: Record<string, string>) => void, after: (folder: string) => void = () => undefined) =>
  files(
    (folder) => {
      const path = join(folder, 'model.safetensors.index.json');
      const json = JSON.parse(readFileSync(path, 'utf8')) as { weight_map: Record<string, string> };
      edit(json.weight_map);
      writeJson(path, json);
      after(folder);
    },
    { shards: 2 },
  );

// Tests put anything anywhere; a type would only be in their way.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Tree = Record<string, any>;

export function tensorNamed(list: TinyModel['tensors'], name: string) {
  const at = list.findIndex((t) => t.name === name);
  return { at, tensor: list[at]! };
}

export function drop(name: string): (folder: string) => string {
  return tensors((list) => {
    list.splice(tensorNamed(list, name).at, 1);
  });
}

export function resize(name: string, shape: readonly number[]): (folder: string) => string {
  return tensors((list) => {
    const { at, tensor } = tensorNamed(list, name);
    const count = shape.reduce((product, dim) => product * dim, 1);
    list[at] = { ...tensor, shape, values: Array.from({ length: count }, () => 0) };
  });
}

export function extra(name: string, shape: readonly number[], options?: Options): (folder: string) => string {
  return tensors((list) => {
    const count = shape.reduce((product, dim) => product * dim, 1);
    list.push({ name, dtype: 'f32', shape, values: Array.from({ length: count }, () => 0) });
  }, options);
}

/** The file moves out of the folder and leaves a link to itself. */
export function linkedOut(name: string): (folder: string) => string {
  return files((folder) => {
    const outside = `${folder}-outside`;
    mkdirSync(outside, { recursive: true });
    renameSync(join(folder, name), join(outside, name));
    symlinkSync(join(outside, name), join(folder, name));
  });
}

export const q0 = 'model.layers.0.self_attn.q_proj.weight';
export const a0 = 'model.layers.0.self_attn.q_proj.lora_A.depth_0.weight';
export const b0 = 'model.layers.0.self_attn.q_proj.lora_B.depth_0.weight';
