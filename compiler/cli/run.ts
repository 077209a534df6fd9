import { Command, Option } from 'commander';
import type { Diagnostic } from '../../files/diagnostics.ts';
import type {
  GenerateOptions,
  Generation,
  LoadedPackage,
  Sampling,
  TextStream,
  TextTokenizer,
} from '../../runtime/index.ts';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { number, oneOf, tokenList, wholeNumber } from './option-values.ts';
import type { StartCommand } from './start-command.ts';
import { UsageError } from './usage-error.ts';

/** A sequence to go on from, as the user gave it. */
type Prompt = { readonly text: string } | { readonly tokens: readonly number[] };

interface RunFlags {
  readonly maxNewTokens?: number;
  readonly ignoreEos?: boolean;
  readonly exitThreshold?: number;
  readonly exitAt?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed?: number;
  readonly threads?: number;
}

/** `rtc run`: generates with a package. */
export function runCommand(start: StartCommand): Command {
  // Prompts and token lists make one list, in the order in which they stand.
  const prompts: Prompt[] = [];
  const command = new Command('run')
    .summary('generate with a package')
    .description('Continues prompts with a package that rtc compile wrote. Tokens appear as they come.')
    .argument('<package>', 'folder of a package')
    .option('--prompt <text>', 'a sequence to continue, as text; repeat it for several', (text: string) => {
      prompts.push({ text });
    })
    .option('--tokens <ids>', 'a sequence to continue, as token ids: 1,2,3; repeat it for several', (text: string) => {
      prompts.push({ tokens: tokenList('--tokens')(text) });
    })
    .option('--max-new-tokens <n>', 'stop after this many (default: 64)', wholeNumber('--max-new-tokens', 1))
    .option('--ignore-eos', 'go on past tokens that end a sequence')
    .option(
      '--exit-threshold <t>',
      "form loop: leave when this sure, 1: never (default: the model's own)",
      number('--exit-threshold', 'a number', () => true),
    )
    .option('--exit-at <loop>', 'form loop: leave after exactly this loop', wholeNumber('--exit-at', 1))
    .addOption(
      new Option('--kv-policy <policy>', 'keys and values of loops that a token skipped').argParser(
        oneOf('--kv-policy', ['last-exited'], ['propagate', 'complete', 'shared']),
      ),
    )
    .option(
      '--temperature <t>',
      'draw tokens instead of taking the likeliest',
      number('--temperature', 'a number of at least 0', (t) => t >= 0 && t < Number.POSITIVE_INFINITY),
    )
    .option('--top-k <k>', 'draw among the k likeliest', wholeNumber('--top-k', 1))
    .option(
      '--top-p <p>',
      'draw among the likeliest that reach p',
      number('--top-p', 'a number above 0 and at most 1', (p) => p > 0 && p <= 1),
    )
    .option('--seed <n>', 'what to draw with (default: 0)', number('--seed', 'a whole number', Number.isSafeInteger))
    .option('--threads <n>', 'threads of ONNX Runtime (default: all cores)', wholeNumber('--threads', 1))
    .addHelpText(
      'after',
      `
Examples:
  $ rtc run kjv-relaxed-unrolled --prompt "In the beginning"
  $ rtc run kjv-relaxed-loop --prompt "And God said" --exit-threshold 0.7
  $ rtc run kjv-relaxed-unrolled --prompt "Blessed are" --prompt "Woe unto" --temperature 0.8 --seed 7
  $ rtc run llama-loop --tokens 1,42,7 --max-new-tokens 24 --ignore-eos --json`,
    );
  return command.action((folder: string, flags: RunFlags) => {
    const options = generateOptions(flags);
    if (prompts.length === 0) {
      throw new UsageError('There is nothing to continue.', 'Give at least one --prompt TEXT or --tokens 1,2,3.');
    }
    return start(command, (context) => run(context, folder, prompts, options, flags.threads));
  });
}

function generateOptions({
  temperature,
  topK,
  topP,
  seed,
  exitThreshold,
  exitAt,
  ...flags
}: RunFlags): GenerateOptions {
  if (exitThreshold !== undefined && exitAt !== undefined) {
    throw new UsageError('The options "--exit-threshold" and "--exit-at" do not go together: either decides alone.');
  }
  const draws = temperature !== undefined || topK !== undefined || topP !== undefined;
  if (seed !== undefined && !draws) {
    throw new UsageError('A --seed changes nothing while the likeliest token is taken.', 'Add --temperature 1.');
  }
  const sampling: Sampling =
    draws && temperature !== 0 ? { kind: 'sample', ...defined({ temperature, topK, topP, seed }) } : { kind: 'greedy' };
  const { maxNewTokens, ignoreEos } = flags;
  return { sampling, ...defined({ maxNewTokens, ignoreEos, exitThreshold, exitAt }) };
}

/** An object without the keys that have no value. */
function defined<T extends object>(object: T): { readonly [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

async function run(
  context: CommandContext,
  folder: string,
  prompts: readonly Prompt[],
  options: GenerateOptions,
  threads: number | undefined,
): Promise<ExitCode> {
  context.progress.show({ step: 'loading' });
  // Loaded here, so that help and wrong usage do not wait for it.
  const { loadPackage, RuntimeFailure } = await import('../../runtime/index.ts');
  const loaded = await loadPackage(folder, defined({ threads }));
  if (!loaded.ok) return context.fail(loaded.diagnostics);
  context.report(loaded.diagnostics);
  try {
    return await runLoaded(context, loaded.value, folder, prompts, options);
  } catch (error) {
    // What is on the terminal ends in the middle of a line.
    if (context.terminal && !context.json) context.print('\n');
    if (error instanceof RuntimeFailure) return context.fail([error.diagnostic]);
    throw error;
  } finally {
    await loaded.value.close();
  }
}

async function runLoaded(
  context: CommandContext,
  loaded: LoadedPackage,
  folder: string,
  prompts: readonly Prompt[],
  options: GenerateOptions,
): Promise<ExitCode> {
  const { tokenizer, manifest } = loaded;
  if (tokenizer === undefined && prompts.some((prompt) => 'text' in prompt)) {
    return context.fail([noTokenizer(folder)]);
  }
  const tokens = prompts.map((prompt) => ('tokens' in prompt ? prompt.tokens : tokenizer!.encode(prompt.text)));
  const { generate } = await import('../../runtime/index.ts');
  const stream = generate(loaded, tokens, { ...options, signal: context.signal });
  if (!stream.ok) return context.fail(stream.diagnostics);
  if (manifest.form === 'unrolled' && (options.exitThreshold ?? 1) < 1) {
    context.report([thresholdIgnored(manifest.recursion.loops)]);
  }
  context.progress.clear();
  const show = context.json ? () => {} : printer(context, prompts, tokens, tokenizer);
  while (true) {
    const next = await stream.value.next();
    if (next.done) {
      if (context.json) context.printJson(next.value);
      context.note(context.noteStyle.dim(statistics(next.value, manifest.form === 'loop')));
      return exitCodes.done;
    }
    show(next.value);
  }
}

type Show = (token: { readonly sequence: number; readonly token: number; readonly last: boolean }) => void;

/**
 * One sequence appears as it grows. Of several each appears when it has ended and all before it have appeared, under
 * its number. With `--quiet` prompts are left out.
 */
function printer(
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

function statistics({ sequences, steps, rows, seconds }: Generation, exits: boolean): string {
  const made = sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const speed = `${made} tokens in ${seconds.toFixed(2)} s (${(made / seconds).toFixed(1)} a second)`;
  const calls = `${steps} steps, ${rows} rows`;
  if (!exits) return `${speed}, ${calls}`;
  const counts = new Map<number, number>();
  for (const exit of sequences.flatMap((sequence) => sequence.exits)) counts.set(exit, (counts.get(exit) ?? 0) + 1);
  const left = [...counts].sort(([a], [b]) => a - b).map(([loop, count]) => `${count} after loop ${loop}`);
  return `${speed}, ${calls}; left: ${left.join(', ')}`;
}

function noTokenizer(folder: string): Diagnostic {
  return {
    severity: 'error',
    code: 'no-tokenizer',
    location: { file: folder },
    message: 'The package has no tokenizer.json, so text cannot become tokens.',
    hint: 'Use --tokens 1,2,3, or put a tokenizer.json beside the model and compile again.',
  };
}

function thresholdIgnored(loops: number): Diagnostic {
  return {
    severity: 'warning',
    code: 'threshold-ignored',
    message: `The form "unrolled" always runs all ${loops} loops; the exit threshold changes nothing.`,
    hint: 'Compile the model with --form loop to leave early.',
  };
}
