import { Command, Option } from 'commander';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { readPackage } from '../../files/package.ts';
import type { EngineLimits, GenerateOptions, Generation, LoadedPackage, LoadOptions } from '../../runtime/index.ts';
import { formatBytes } from '../inspect/format-bytes.ts';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { readExitTrace } from './exit-trace.ts';
import { nameFlags } from './name-flags.ts';
import { byteCount, number, oneOf, tokenList, wholeNumber } from './option-values.ts';
import { type RunFlags, type RunOptions, runOptions } from './run-options.ts';
import { type Prompt, runPrinter } from './run-printer.ts';
import type { StartCommand } from './start-command.ts';
import { UsageError } from './usage-error.ts';

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
      "leave when this sure, 1: never (default: the model's own)",
      number('--exit-threshold', 'a number', () => true),
    )
    .option('--exit-at <loop>', 'leave after exactly this loop', wholeNumber('--exit-at', 1))
    .option('--exit-trace <file>', 'leave where an earlier run did: the JSON that rtc run printed, or [[2,1],[1,2]]')
    .option(
      '--mean-loops <x>',
      'move the threshold so that tokens run this many loops on average',
      number('--mean-loops', 'a number of at least 1', (x) => x >= 1 && x < Number.POSITIVE_INFINITY),
    )
    .addOption(
      new Option(
        '--kv-policy <policy>',
        'keys and values of loops that a token skipped: last-exited, propagate, complete or shared (default: last-exited)',
      ).argParser(oneOf('--kv-policy', ['last-exited', 'propagate', 'complete', 'shared'])),
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
    .option('--max-rows <n>', 'rows of a step, at most (default: 16)', wholeNumber('--max-rows', 1))
    .addOption(
      new Option('--row-order <order>', 'who goes first: oldest, deepest or fullest (default: oldest)').argParser(
        oneOf('--row-order', ['oldest', 'deepest', 'fullest']),
      ),
    )
    .option(
      '--prefill-chunk <n>',
      'prompt tokens of a sequence that run together (default: 64)',
      wholeNumber('--prefill-chunk', 1),
    )
    .option(
      '--page-memory <bytes>',
      "memory for keys and values, as 512M or 2G (default: what is needed, up to a quarter of the machine's)",
      byteCount('--page-memory'),
    )
    .option('--threads <n>', 'threads of ONNX Runtime (default: all cores)', wholeNumber('--threads', 1))
    .addHelpText(
      'after',
      `
Examples:
  $ rtc run kjv-relaxed-depth-batched --prompt "In the beginning"
  $ rtc run kjv-relaxed-depth-batched --prompt "And God said" --exit-threshold 0.7 --kv-policy propagate
  $ rtc run kjv-relaxed-depth-batched --prompt "Blessed are" --prompt "Woe unto" --temperature 0.8 --seed 7
  $ rtc run llama-depth-batched --tokens 1,42,7 --max-new-tokens 24 --ignore-eos --json > run.json
  $ rtc run llama-depth-batched --tokens 1,42,7 --exit-trace run.json --page-memory 512M

Traces, mean loops, KV policies, rows and pages belong to the form depth-batched.`,
    );
  return command.action((folder: string, flags: RunFlags) => {
    const options = runOptions(flags);
    if (prompts.length === 0) {
      throw new UsageError('There is nothing to continue.', 'Give at least one --prompt TEXT or --tokens 1,2,3.');
    }
    return start(command, (context) => run(context, folder, prompts, options));
  });
}

async function run(
  context: CommandContext,
  folder: string,
  prompts: readonly Prompt[],
  options: RunOptions,
): Promise<ExitCode> {
  const read = await readPackage(folder, { check: 'sizes' });
  if (!read.ok) return context.fail(read.diagnostics);
  const { manifest } = read.value;
  const generation = await generateOptions(manifest, prompts.length, options);
  if (!generation.ok) return context.fail(generation.diagnostics);
  // Loaded here, so that help and wrong usage do not wait for it.
  const { loadPackage, planEngine, RuntimeFailure } = await import('../../runtime/index.ts');
  const load = loadOptions(manifest, prompts.length, options.load);
  if (manifest.form === 'depth-batched') {
    const plan = planEngine(manifest, load);
    if (!plan.ok) return context.fail(nameFlags(plan.diagnostics));
    context.progress.show({ step: `loading; ${memory(plan.value)}` });
  } else context.progress.show({ step: 'loading' });
  const loaded = await loadPackage(folder, load);
  if (!loaded.ok) return context.fail(nameFlags(loaded.diagnostics));
  context.report(loaded.diagnostics);
  try {
    return await runLoaded(context, loaded.value, folder, prompts, generation.value);
  } catch (error) {
    // What is on the terminal ends in the middle of a line.
    if (context.terminal && !context.json) context.print('\n');
    if (!(error instanceof RuntimeFailure)) throw error;
    if (error.diagnostic.code === 'internal-error') throw error.cause ?? error;
    return context.fail([error.diagnostic]);
  } finally {
    await loaded.value.close();
  }
}

/** Said before anything is loaded, and gone from a terminal when it is. */
function memory({ pageBytes, maxSequences, maxPositions }: EngineLimits): string {
  const room = `${maxSequences === 1 ? 'a sequence' : `${maxSequences} sequences`} of up to ${maxPositions} positions`;
  return `at most ${formatBytes(pageBytes)} of keys and values, for ${room}`;
}

/** A graph alone runs all prompts at once; an engine has no need of pages for more of them. */
function loadOptions({ form }: PackageManifest, prompts: number, options: LoadOptions): LoadOptions {
  return form === 'depth-batched' ? { maxSequences: Math.min(prompts, options.maxRows ?? 16), ...options } : options;
}

async function generateOptions(
  { recursion }: PackageManifest,
  prompts: number,
  { generate, exitTrace }: RunOptions,
): Promise<Result<GenerateOptions>> {
  if (exitTrace === undefined) return success(generate);
  const exitTraces = await readExitTrace(exitTrace, prompts, recursion.loops);
  return exitTraces.ok ? success({ ...generate, exitTraces: exitTraces.value }) : failure(...exitTraces.diagnostics);
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
  if (!stream.ok) return context.fail(nameFlags(stream.diagnostics));
  if ((options.exitThreshold ?? 1) < 1 || options.meanLoops !== undefined) {
    context.report(exitsIgnored(manifest));
  }
  context.progress.clear();
  const show = context.json ? () => {} : runPrinter(context, prompts, tokens, tokenizer);
  while (true) {
    const next = await stream.value.next();
    if (next.done) {
      if (context.json) context.printJson(next.value);
      context.note(context.noteStyle.dim(statistics(next.value, manifest.form !== 'unrolled')));
      return exitCodes.done;
    }
    show(next.value);
  }
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

/** Whoever asks for early exits hears when there are none. */
function exitsIgnored({ form, recursion: { loops }, exits }: PackageManifest): readonly Diagnostic[] {
  if (form === 'unrolled') {
    return [
      {
        severity: 'warning',
        code: 'threshold-ignored',
        message: `The form "unrolled" always runs all ${loops} loops; the exit threshold changes nothing.`,
        hint: 'Compile the model with --form depth-batched to leave early.',
      },
    ];
  }
  if (exits !== undefined && exits.after.length > 0) return [];
  return [
    {
      severity: 'warning',
      code: 'threshold-ignored',
      message: 'The model names no exits, so no token can leave by its confidence; the exit threshold changes nothing.',
      hint: 'Name loops in "exits.after" of model.json and compile again, or use --exit-at.',
    },
  ];
}
