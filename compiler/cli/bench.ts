import { access, constants, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Command, Option } from 'commander';
import { type Diagnostic, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { readPackage } from '../../files/package.ts';
import type { BenchOptions } from '../../measure/bench-options.ts';
import type { BenchEnginesOptions } from '../bench/bench-engines.ts';
import { rtcVersion } from '../version.ts';
import { type BenchFlags, benchOptions, engineTimesOptions } from './bench-flags.ts';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { readExitTrace } from './exit-trace.ts';
import { countList, number, oneOf, range, wholeNumber } from './option-values.ts';
import type { StartCommand } from './start-command.ts';

/** `rtc bench`: measures ways to batch one workload, side by side. */
export function benchCommand(start: StartCommand): Command {
  const command = new Command('bench')
    .summary('measure full depth, sequence-wise and depth-wise batching')
    .description(
      'Runs one workload at full depth, with early exits batched by sequence (waiting for the deepest row, or dropping ' +
        'rows that left), and batched by depth, in turns on the same graph and with the same exits. Says what the exits ' +
        'allow, how much of it was reached, and where the rest went.',
    )
    .argument('<package>', 'folder of a package of the form depth-batched')
    .option('--rows <list>', 'rows of a step at most: 8,16 measures both (default: 8)', countList('--rows', 4096))
    .option(
      '--max-sequences <n>',
      'sequences that hold pages at once (default: a quarter more than rows, so that prompts leave no row empty)',
      wholeNumber('--max-sequences', 1),
    )
    .option('--prompts <file>', 'a prompt a line, or a .json list of texts and token lists (default: made ones)')
    .option(
      '--sequences <n>',
      'how many to make, or of the file to take, again from the top when it has fewer (default: four for each row; all)',
      number('--sequences', 'a whole number from 1 to 100000', (n) => Number.isInteger(n) && n >= 1 && n <= 100_000),
    )
    .option('--prompt-tokens <a..b>', 'lengths of made prompts (default: 32..96)', range('--prompt-tokens', 1))
    .option('--new-tokens <a..b>', 'lengths of what is generated (default: 64..128)', range('--new-tokens', 2))
    .option(
      '--arrivals <x>',
      'sequences a second, Poisson (default: all at once)',
      number('--arrivals', 'a number above 0', (x) => x > 0 && x < Number.POSITIVE_INFINITY),
    )
    .option(
      '--mean-loops <x>',
      'tokens leave after so many loops on average, by a made trace (default: halfway, if the model has no threshold)',
      number('--mean-loops', 'a number of at least 1', (x) => x >= 1 && x < Number.POSITIVE_INFINITY),
    )
    .option('--exit-trace <file>', 'leave where an earlier run did: the JSON that rtc run printed, or [[2,1],[1,2]]')
    .option(
      '--exit-threshold <t>',
      'leave when this sure; beside a trace, one variant more. auto: a threshold with about the same mean',
      thresholdValue,
    )
    .addOption(
      new Option('--kv-policy <policy>', 'last-exited (default), propagate, complete or shared').argParser(
        oneOf('--kv-policy', ['last-exited', 'propagate', 'complete', 'shared']),
      ),
    )
    .addOption(
      new Option('--row-order <order>', 'who goes first: oldest (default), deepest or fullest').argParser(
        oneOf('--row-order', ['oldest', 'deepest', 'fullest']),
      ),
    )
    .option('--prefill-chunk <n>', 'prompt tokens that run together (default: 64)', wholeNumber('--prefill-chunk', 1))
    .option('--unrolled <package>', 'compare full depth with this package of the form unrolled, in turns, too')
    // What `rtc verify` calls the engines of TensorRT; help has the longer word, since there is rtc's own engine, too.
    .addOption(new Option('--engine').default(true).hideHelp())
    .option('--no-engine', 'leave out the part that goes through the engine')
    .option('--profile', 'also time the parts of a step by rows: what rtc simulate takes')
    .option('--quality <text>', 'also sweep thresholds and KV policies on this text: perplexity, agreement, speed')
    .option('--no-runs', 'run no workload: only --profile or --quality')
    .option('--quality-tokens <n>', 'how much of the text (default: 4096)', wholeNumber('--quality-tokens', 16))
    .option('--rounds <n>', 'how often the variants take turns (default: 12)', wholeNumber('--rounds', 1))
    .option(
      '--max-seconds <s>',
      'begin no round after this time (default: no limit)',
      number('--max-seconds', 'a number above 0', (s) => s > 0),
    )
    .option('--threads <n>', 'threads of ONNX Runtime (default: all cores)', wholeNumber('--threads', 1))
    .option('--seed <n>', 'of prompts, lengths, exits and arrivals (default: 1)', wholeNumber('--seed', 0))
    .option('--html <file>', 'write the measurements as a page to look at')
    .option(
      '--engine-times',
      "target tensorrt: time every profile of the package's engines through trtexec, and simulate with these times",
    )
    .option('--trtexec <path>', 'with --engine-times: trtexec (default: TRTEXEC, PATH, and the usual places)')
    .option(
      '--context <n>',
      'with --engine-times: positions behind each row (default: half of the largest)',
      wholeNumber('--context', 0),
    )
    .option('--out <file>', 'with --engine-times: write the times as rtc simulate takes them')
    .addHelpText(
      'after',
      `
Examples:
  $ rtc bench kjv-relaxed-depth-batched --mean-loops 1.5
  $ rtc bench package --mean-loops 1.2 --exit-threshold auto --rows 8,16 --unrolled package-unrolled --html bench.html
  $ rtc bench package --prompts prompts.txt --exit-threshold 0.7 --arrivals 4 --json
  $ rtc bench package --no-runs --profile --json > profile.json
  $ rtc bench kjv-relaxed-depth-batched --no-runs --quality heldout.txt
  $ rtc bench kjv-relaxed-tensorrt --engine-times --mean-loops 1.5 --out times.json`,
    );
  command.on('option:engine', () => command.setOptionValue('engineTimes', true));
  return command.action((folder: string, flags: BenchFlags) => {
    if (flags.engineTimes) {
      const asked = engineTimesOptions(flags);
      return start(command, (context) => benchOfEngines(context, folder, asked, flags.out));
    }
    const options = benchOptions(flags);
    return start(command, (context) => bench(context, folder, options, flags));
  });
}

function thresholdValue(text: string): number | 'auto' {
  return text === 'auto' ? 'auto' : number('--exit-threshold', 'a number or "auto"', () => true)(text);
}

async function bench(
  context: CommandContext,
  folder: string,
  options: BenchOptions,
  { exitTrace, html }: BenchFlags,
): Promise<ExitCode> {
  // Loaded here, so that help and wrong usage do not wait for it.
  const { benchPackage } = await import('../../measure/bench-package.ts');
  const { RuntimeFailure } = await import('../../runtime/session.ts');
  const sequences = await readTrace(folder, exitTrace);
  if (!sequences.ok) return context.fail(sequences.diagnostics);
  const unwritable = html === undefined ? undefined : await whyNotWritable(html);
  if (unwritable !== undefined) return context.fail([unwritable]);
  try {
    const measured = await benchPackage(
      folder,
      {
        ...options,
        ...(sequences.value === undefined ? {} : { exitTrace: sequences.value }),
        signal: context.signal,
        onProgress: (step, done, total) =>
          context.progress.show({
            step,
            ...(done === undefined ? {} : { done }),
            ...(total === undefined ? {} : { total }),
          }),
      },
      rtcVersion(),
    );
    if (!measured.ok) return context.fail(measured.diagnostics);
    context.report(measured.diagnostics);
    const document = measured.value;
    if (context.json) {
      context.printJson(document);
    } else {
      const { formatBench } = await import('../bench/format-bench.ts');
      context.print(formatBench(document, context.style.bold));
    }
    if (html !== undefined) {
      const { benchPage } = await import('../../measure/page/bench-page.ts');
      try {
        await writeFile(html, benchPage(document));
      } catch (error) {
        // The document is out already, and was minutes of work.
        context.report([fileDiagnostic(error, { file: html }, 'write')]);
        return exitCodes.problems;
      }
      context.note(`wrote ${html}`);
    }
    return context.signal.aborted ? exitCodes.interrupted : exitCodes.done;
  } catch (error) {
    if (!(error instanceof RuntimeFailure)) throw error;
    if (error.diagnostic.code === 'internal-error') throw error.cause ?? error;
    return context.fail([error.diagnostic]);
  }
}

async function benchOfEngines(
  context: CommandContext,
  folder: string,
  options: Omit<BenchEnginesOptions, 'env'>,
  out: string | undefined,
): Promise<ExitCode> {
  const { benchEngines } = await import('../bench/bench-engines.ts');
  const unwritable = out === undefined ? undefined : await whyNotWritable(out);
  if (unwritable !== undefined) return context.fail([unwritable]);
  const onProgress = (step: string) => context.progress.show({ step });
  const { env, signal } = context;
  const measured = await benchEngines(folder, { ...options, env, signal, onProgress });
  if (!measured.ok) return context.fail(measured.diagnostics);
  context.report(measured.diagnostics);
  if (context.json) {
    context.printJson({ ok: true, ...measured.value });
  } else {
    const { formatEngineTimes } = await import('../bench/format-engine-times.ts');
    context.print(formatEngineTimes(measured.value, context.style.bold));
  }
  if (out === undefined) return exitCodes.done;
  try {
    await writeFile(out, `${JSON.stringify(measured.value.profile, undefined, 2)}\n`);
  } catch (error) {
    // The times are out already, and were minutes of work.
    context.report([fileDiagnostic(error, { file: out }, 'write')]);
    return exitCodes.problems;
  }
  context.note(`wrote ${out}`);
  return exitCodes.done;
}

/** What measuring for minutes would end with. */
async function whyNotWritable(file: string): Promise<Diagnostic | undefined> {
  try {
    await access(dirname(file), constants.W_OK);
    return undefined;
  } catch (error) {
    return fileDiagnostic(error, { file }, 'write');
  }
}

async function readTrace(
  folder: string,
  file: string | undefined,
): Promise<Result<readonly (readonly number[])[] | undefined>> {
  if (file === undefined) return success(undefined);
  const read = await readPackage(folder, { check: 'sizes' });
  return read.ok ? readExitTrace(file, undefined, read.value.manifest.recursion.loops) : read;
}
