import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import { fileDiagnostic } from '../files/file-diagnostic.ts';
import type { ChatMessage } from './chat-body.ts';

/** Messages as the text that a model was trained on, up to where its answer begins; or why they make none. */
export type ChatTemplate = (
  messages: readonly ChatMessage[],
) => { readonly ok: true; readonly text: string } | { readonly ok: false; readonly why: string };

/**
 * The chat template of a package: chat_template.jinja, else what tokenizer_config.json or chat_template.json have under
 * `chat_template`. A model without one gives undefined.
 */
export async function loadChatTemplate(folder: string): Promise<Result<ChatTemplate | undefined>> {
  const config = await readJson(join(folder, 'tokenizer_config.json'));
  if (!config.ok) return config;
  const text = await readText(join(folder, 'chat_template.jinja'));
  if (!text.ok) return text;
  const other = await readJson(join(folder, 'chat_template.json'));
  if (!other.ok) return other;
  const source =
    text.value ?? defaultTemplate(config.value.chat_template) ?? defaultTemplate(other.value.chat_template);
  if (source === undefined) return success(undefined);
  try {
    return success(chatTemplate(new Template(source), specialTokens(config.value)));
  } catch (error) {
    return failure({
      severity: 'error',
      code: 'invalid-chat-template',
      location: { file: folder },
      message: `The model's chat template cannot be read: ${messageOf(error)}`,
    });
  }
}

function chatTemplate(template: Template, tokens: Readonly<Record<string, string>>): ChatTemplate {
  return (messages) => {
    try {
      return { ok: true, text: template.render({ ...tokens, messages, add_generation_prompt: true }) };
    } catch (error) {
      // Templates refuse by raise_exception what their model does not know: two user messages in a row, a system message.
      return { ok: false, why: messageOf(error) };
    }
  };
}

/** One template, or the one named "default" of several. */
function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.find((entry) => Reflect.get(Object(entry), 'name') === 'default');
  return defaultTemplate(Reflect.get(Object(named), 'template'));
}

/** `bos_token` and its like, which templates write themselves; each is text, or an object that holds it. */
function specialTokens(config: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const entries = Object.entries(config).flatMap(([key, value]) => {
    if (!key.endsWith('_token')) return [];
    const content = typeof value === 'string' ? value : Reflect.get(Object(value), 'content');
    return typeof content === 'string' ? [[key, content] as const] : [];
  });
  return Object.fromEntries(entries);
}

async function readText(path: string): Promise<Result<string | undefined>> {
  try {
    return success(await readFile(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return success(undefined);
    return failure(fileDiagnostic(error, { file: path }, 'read'));
  }
}

async function readJson(path: string): Promise<Result<Readonly<Record<string, unknown>>>> {
  const text = await readText(path);
  if (!text.ok) return text;
  try {
    const value: unknown = JSON.parse(text.value ?? '{}');
    return success(Object(value) as Record<string, unknown>);
  } catch (error) {
    return failure(invalid(path, messageOf(error)));
  }
}

function invalid(path: string, why: string): Diagnostic {
  return {
    severity: 'error',
    code: 'invalid-json',
    location: { file: path },
    message: `"${path}" is not JSON: ${why}.`,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
