import { readdir } from 'node:fs/promises';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { type NamedFolder, resolveInside } from '../../files/resolve-inside.ts';

/** Files beside a model that its tokenizer and its generation need; a package takes them along. */
const companionNames: readonly string[] = [
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'generation_config.json',
  'merges.txt',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'vocab.json',
  'vocab.txt',
];

/** Those companions that the folder has, sorted; links that lead out are told, as for any file of a model. */
export async function findCompanions(folder: NamedFolder): Promise<Result<readonly string[]>> {
  let present: readonly string[];
  try {
    present = await readdir(folder.absolutePath);
  } catch (error) {
    return failure(fileDiagnostic(error, { file: folder.shown }, 'read'));
  }
  const found = companionNames.filter((name) => present.includes(name));
  const problems: Diagnostic[] = [];
  for (const name of found)
    problems.push(...(await resolveInside(folder, '.', name, { file: folder.shown })).diagnostics);
  return problems.length > 0 ? failure(...problems) : success(found);
}
