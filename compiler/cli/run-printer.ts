import type { TextStream, TextTokenizer } from '../../runtime/index.ts';
import type { CommandContext } from './command-context.ts';

/** A sequence to go on from, as the user gave it. */
export type Prompt = { readonly text: string } | { readonly tokens: readonly number[] };

/** Shows a token as it comes. */
export type Show = (token: { readonly sequence: number; readonly token: number; readonly last: boolean }) => void;

/**
 * One sequence appears as it grows. Of several each appears when it has ended and all before it have appeared, under
 * its number. With `--quiet` prompts are left out.
 */
export function runPrinter(
  context: CommandContext,
  prompts: readonly Prompt[],
  tokens: readonly (readonly number[])[],
  tokenizer: TextTokenizer | undefined,
): Show {
  const { style, quiet } = context;
  const print = (text: string) => context.print(context.terminal ? withoutControls(text) : text);
  const heads = prompts.map((prompt, i) => {
    const number = prompts.length > 1 && !quiet ? `${style.cyan(`[${i + 1}]`)} ` : '';
    if (quiet) return number;
    return number + style.bold('text' in prompt ? prompt.text : `${prompt.tokens.join(' ')} `);
  });
  const streams = prompts.map((prompt, i) =>
    'text' in prompt && tokenizer ? tokenizer.stream(tokens[i]!) : idStream(),
  );
  if (prompts.length === 1) {
    context.print(heads[0]!);
    return ({ token, last }) => {
      print(streams[0]!.push(token));
      if (last) print(`${streams[0]!.end()}\n`);
    };
  }
  const texts = prompts.map(() => '');
  const ended = new Set<number>();
  let printed = 0;
  return ({ sequence, token, last }) => {
    texts[sequence] += streams[sequence]!.push(token);
    if (!last) return;
    texts[sequence] += streams[sequence]!.end();
    ended.add(sequence);
    for (; ended.has(printed); printed++) {
      context.print(heads[printed]!);
      print(`${texts[printed]}\n`);
    }
  };
}

/** Token ids as they are, for sequences that were given so. */
function idStream(): TextStream {
  let separator = '';
  return {
    push: (token) => {
      const text = `${separator}${token}`;
      separator = ' ';
      return text;
    },
    end: () => '',
  };
}

/** A model can generate the bytes of an escape sequence; a terminal is not to obey them. */
function withoutControls(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{Cc}/gu, '\uFFFD');
}
