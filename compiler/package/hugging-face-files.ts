import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import type { SourceModel } from '../read/source-model.ts';
import { unrolledConfig } from './unrolled-config.ts';

/** A small file that rtc writes, as JSON. */
export interface JsonFile {
  readonly path: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/**
 * The JSON files that transformers.js and optimum expect of a model folder and that are not the model's own: config.json
 * of the unrolled model, and, where the model has none, generation_config.json and tokenizer_config.json.
 */
export async function huggingFaceFiles(model: SourceModel): Promise<Result<readonly JsonFile[]>> {
  const files: JsonFile[] = [{ path: 'config.json', value: unrolledConfig(model) }];
  const has = (name: string) => model.companions.includes(name);
  if (!has('generation_config.json')) files.push({ path: 'generation_config.json', value: generationConfig(model) });
  if (has('tokenizer.json') && !has('tokenizer_config.json')) {
    const contents = await tokenContents(model);
    if (!contents.ok) return contents;
    files.push({ path: 'tokenizer_config.json', value: tokenizerConfig(model, contents.value) });
  }
  return success(files);
}

const tokenKeys = ['bos_token_id', 'eos_token_id', 'pad_token_id'] as const;

function generationConfig({ config }: SourceModel): Readonly<Record<string, unknown>> {
  const known = tokenKeys.filter((key) => config[key] !== undefined && config[key] !== null);
  return { _from_model_config: true, ...Object.fromEntries(known.map((key) => [key, config[key]])) };
}

/** AutoTokenizer asks for the class and for special tokens by their text. */
function tokenizerConfig(
  { config, spec }: SourceModel,
  contents: ReadonlyMap<number, string>,
): Readonly<Record<string, unknown>> {
  const tokens = tokenKeys.flatMap((key) => {
    // Several ids may end a sequence; a tokenizer has one token for it.
    const [id] = [config[key]].flat();
    const content = typeof id === 'number' ? contents.get(id) : undefined;
    return content === undefined ? [] : [[key.replace('_id', ''), content] as const];
  });
  return {
    ...Object.fromEntries(tokens),
    clean_up_tokenization_spaces: false,
    model_max_length: spec.maxPositions,
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
}

/** What each token id of tokenizer.json stands for. */
async function tokenContents({ folder }: SourceModel): Promise<Result<ReadonlyMap<number, string>>> {
  const file = join(folder, 'tokenizer.json');
  const contents = new Map<number, string>();
  let tokenizer: unknown;
  try {
    // Not readJson: a vocabulary may well have the tokens "constructor" and "__proto__".
    tokenizer = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) return failure(fileDiagnostic(error, { file }, 'read'));
    return failure(notJson(file));
  }
  const { model, added_tokens: added } = record(tokenizer);
  const { vocab } = record(model);
  if (Array.isArray(vocab)) {
    for (const [id, entry] of vocab.entries()) {
      if (Array.isArray(entry) && typeof entry[0] === 'string') contents.set(id, entry[0]);
    }
  } else {
    for (const [content, id] of Object.entries(record(vocab))) if (typeof id === 'number') contents.set(id, content);
  }
  for (const token of Array.isArray(added) ? added : []) {
    const { id, content } = record(token);
    if (typeof id === 'number' && typeof content === 'string') contents.set(id, content);
  }
  return success(contents);
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function notJson(file: string): Diagnostic {
  const message = `"${file}" is not valid JSON, so its tokens cannot be read.`;
  return { severity: 'error', code: 'invalid-json', location: { file }, message };
}
