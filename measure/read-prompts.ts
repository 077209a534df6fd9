import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import { fileDiagnostic } from '../files/file-diagnostic.ts';
import { readJson } from '../files/json.ts';
import { issueDiagnostics } from '../files/json-issues.ts';
import type { TextTokenizer } from '../runtime/tokenizer.ts';

const promptsSchema = z.array(z.union([z.string().min(1), z.array(z.int().min(0)).min(1)])).min(1);

/**
 * Reads prompts as token ids. A file whose name ends in .json has a list of texts and lists of token ids; in every other
 * file each line that is not empty is a prompt.
 * @param tokenizer undefined: then the file may have no text
 */
export async function readPrompts(
  file: string,
  tokenizer: TextTokenizer | undefined,
): Promise<Result<readonly (readonly number[])[]>> {
  const read = await (/\.json$/i.test(file) ? readList(file) : readLines(file));
  if (!read.ok) return read;
  if (tokenizer === undefined && read.value.some((prompt) => typeof prompt === 'string')) {
    return failure({
      severity: 'error',
      code: 'no-tokenizer',
      location: { file },
      message: 'The package has no tokenizer.json, so text cannot become tokens.',
      hint: 'Give a .json file with lists of token ids: [[1, 2, 3], [4, 5]].',
    });
  }
  const prompts = read.value.map((prompt) => (typeof prompt === 'string' ? tokenizer!.encode(prompt) : prompt));
  const empty = prompts.findIndex((prompt) => prompt.length === 0);
  return empty < 0 ? success(prompts) : failure(noTokens(file, empty));
}

type Prompts = readonly (string | readonly number[])[];

async function readList(file: string): Promise<Result<Prompts>> {
  const read = await readJson(file, file, { maxBytes: 256 * 2 ** 20, maxDepth: 8 });
  if (!read.ok) return read;
  const parsed = promptsSchema.safeParse(read.value.value);
  if (!parsed.success) return failure(...issueDiagnostics(read.value, parsed.error.issues, promptsSchema));
  return success(parsed.data);
}

async function readLines(file: string): Promise<Result<Prompts>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    return failure(fileDiagnostic(error, { file }, 'read'));
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  if (lines.length > 0) return success(lines);
  return failure({ severity: 'error', code: 'no-prompt', location: { file }, message: `"${file}" has no prompt.` });
}

function noTokens(file: string, index: number): Diagnostic {
  return {
    severity: 'error',
    code: 'empty-prompt',
    location: { file },
    message: `Prompt ${index + 1} has no tokens.`,
    hint: 'A model needs at least one token to go on from.',
  };
}
