import { access, constants, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Command, Option } from 'commander';
import { initialBlocks } from '../../convert/initial-block.ts';
import { sharingNames } from '../../convert/sharing.ts';
import { type Diagnostic, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import type { ConvertOptions, LoraBudget, LoraRanks } from '../convert/convert-options.ts';
import type { ConvertResult } from '../convert/convert-result.ts';
import type { EvaluationText } from '../convert/evaluate/evaluation-text.ts';
import type { ConvertDocument } from '../convert/report/convert-document.ts';
import { rtcVersion } from '../version.ts';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodeOf, exitCodes } from './exit-code.ts';
import { number, oneOf, wholeNumber } from './option-values.ts';
import type { StartCommand } from './start-command.ts';
import { UsageError } from './usage-error.ts';

/** Flags as commander hands them over. */
interface ConvertFlags
  extends Pick<
    ConvertOptions,
    'loops' | 'sharing' | 'layers' | 'init' | 'norms' | 'loraInit' | 'dtype' | 'threads' | 'restart' | 'out'
  > {
  readonly loraRank?: LoraRanks['rank'];
  readonly parameters?: number;
  readonly calibrate?: string;
  readonly evaluate?: string;
  readonly evaluateRanks?: readonly number[];
  readonly html?: string;
}

/** `rtc convert`: an ordinary checkpoint becomes a recursive one. */
export function convertCommand(start: StartCommand): Command {
  const command = new Command('convert')
    .summary('make a recursive checkpoint of an ordinary one')
    .description(
      'Keeps one block of the layers of a pretrained transformer, runs it several times, and makes up for what sharing ' +
        'lost with low-rank factors for each depth. Writes a checkpoint that "rtc compile" takes, and that can be ' +
        "trained on: factors have PEFT's names. Finished matrices are kept until the end; after Ctrl-C the same command " +
        'goes on from there.',
    )
    .argument('<model>', 'a Hugging Face folder, or a model.json without loops')
    .option('--loops <n>', 'how often the shared block runs', wholeNumber('--loops', 2))
    .addOption(
      new Option(
        '--sharing <how>',
        'cycle (default): the block as a whole, again and again; sequence: each of its layers several times in a row; ' +
          'middle-cycle, middle-sequence: first and last layer stay their own; or the stored layer of each: 0,1,1,0',
      ).argParser((text) =>
        /^[\d,\s]+$/.test(text) ? layerList('--sharing')(text) : oneOf('--sharing', sharingNames)(text),
      ),
    )
    .addOption(
      new Option('--init <from>', 'what the block starts as: average (default), stepwise, lower or upper').argParser(
        oneOf('--init', initialBlocks),
      ),
    )
    .option('--layers <list>', 'instead: the original of each layer of the block, from 0: 0,2,5', layerList('--layers'))
    .addOption(
      new Option('--norms <how>', 'shared (default) or per-depth: each depth has its original norms').argParser(
        oneOf('--norms', ['shared', 'per-depth']),
      ),
    )
    .option(
      '--lora-rank <ranks>',
      'rank of the factors: 64, or 64,mlp=128,k_proj=16,depth_0/mlp=32, where the last that fits counts',
      rankList,
    )
    .option(
      '--parameters <share>',
      "instead: find the ranks that lose least with this share of the original's layers: 0.6",
      number('--parameters', 'a number above 0, such as 0.6', (x) => x > 0 && x < Number.POSITIVE_INFINITY),
    )
    .option('--calibrate <text>', "a text file: factors that lose least of the model's activations on it")
    .addOption(
      new Option('--lora-init <how>', 'svd (default), or zero: factors that change nothing yet').argParser(
        oneOf('--lora-init', ['svd', 'zero']),
      ),
    )
    .addOption(
      new Option('--dtype <type>', "f32, f16 or bf16 (default: the original's)").argParser(
        oneOf('--dtype', ['f32', 'f16', 'bf16']),
      ),
    )
    .option('--evaluate <text>', 'perplexity on a text file, of the original and of what was made of it')
    .option(
      '--evaluate-ranks <list>',
      'also at these ranks, of the same factors cut: 0,4,16 (default: none, a sixteenth and a quarter of the largest)',
      rankNumbers,
    )
    .option('--html <file>', 'write what was lost, matrix by matrix, as a page to look at')
    .option('--threads <n>', 'threads of ONNX Runtime (default: all cores)', wholeNumber('--threads', 1))
    .option('--restart', 'begin anew, instead of going on where the same command was interrupted')
    .requiredOption('--out <folder>', 'folder to write')
    .addHelpText(
      'after',
      `
Examples:
  $ rtc convert ~/models/TinyLlama-1.1B --loops 2 --lora-rank 64 --out tinyllama-recursive
  $ rtc convert model --loops 3 --init stepwise --out plain
  $ rtc convert model --loops 2 --parameters 0.6 --calibrate text.txt --evaluate heldout.txt --html report.html --out small
  $ rtc convert model --sharing middle-cycle --loops 2 --norms per-depth --lora-rank 32,mlp=64 --out middle`,
    );
  return command.action((model: string, flags: ConvertFlags) => {
    const options = convertOptions(model, flags);
    return start(command, (context) => convertInto(context, options, flags));
  });
}

/** What the flags mean to `convert`; throws a UsageError where they contradict each other. */
function convertOptions(model: string, flags: ConvertFlags): ConvertOptions {
  const { loraRank, parameters, calibrate: calibration, evaluate, evaluateRanks, html: _, ...rest } = flags;
  const { loops, sharing, layers, init, loraInit } = rest;
  if (Array.isArray(sharing)) {
    if (loops !== undefined) throw new UsageError('--loops says what the list of --sharing says too.', 'Leave it out.');
  } else if (loops === undefined) {
    throw new UsageError('--loops is missing: how often does the shared block run?', 'Give --loops 2, or more.');
  }
  if (layers !== undefined && init !== undefined) {
    throw new UsageError('--layers and --init both say what the block starts as.', 'Leave one of them out.');
  }
  if (loraRank !== undefined && parameters !== undefined) {
    throw new UsageError('--lora-rank gives ranks, --parameters finds them.', 'Leave one of them out.');
  }
  const lora: LoraRanks | LoraBudget | undefined =
    parameters !== undefined
      ? { parameters, calibration }
      : loraRank !== undefined
        ? { rank: loraRank, calibration }
        : undefined;
  if (lora === undefined && (loraInit !== undefined || calibration !== undefined)) {
    const flag = loraInit === undefined ? '--calibrate' : '--lora-init';
    throw new UsageError(`${flag} is about factors, and there are none.`, 'Give --lora-rank or --parameters.');
  }
  if (loraInit === 'zero' && (parameters !== undefined || calibration !== undefined)) {
    const flag = parameters === undefined ? '--calibrate' : '--parameters';
    throw new UsageError(`${flag} goes by what factors bring back, and with --lora-init zero they bring nothing back.`);
  }
  if (evaluateRanks !== undefined && evaluate === undefined) {
    throw new UsageError(
      '--evaluate-ranks says at which ranks a text is read, and there is none.',
      'Give --evaluate, too.',
    );
  }
  return { ...rest, model, lora };
}

/** `0,2,5` */
function layerList(option: string): (value: string) => readonly number[] {
  return (text) => {
    const parts = text.split(',').map((part) => part.trim());
    if (parts.every((part) => /^\d{1,4}$/.test(part))) return parts.map(Number);
    throw new UsageError(
      `"${text}" is no value for ${option}: numbers of layers with commas between, such as 0,2,5, were expected.`,
    );
  };
}

/** `0,4,16` */
function rankNumbers(text: string): readonly number[] {
  const one = number('--evaluate-ranks', 'a whole number from 0', (n) => Number.isSafeInteger(n) && n >= 0);
  return [...new Set(text.split(',').map(one))];
}

/** `64`, or `64,mlp=128,depth_0/k_proj=16`: ranks by selector, a number alone is for everything. */
function rankList(text: string): LoraRanks['rank'] {
  const entries = text.split(',').map((part): [string, number] => {
    const [, name = '*', rank] = /^\s*(?:([\w./*]+)\s*=\s*)?(\d{1,6})\s*$/.exec(part) ?? [];
    if (rank !== undefined) return [name, Number(rank)];
    throw new UsageError(
      `"${part}" is no value for --lora-rank: a rank such as 64, or ranks such as 64,mlp=128,depth_0/k_proj=16, were expected.`,
    );
  });
  const [first, ...others] = entries;
  if (others.length === 0 && first![0] === '*') return first![1];
  const twice = entries.find(([name], i) => entries.findIndex(([other]) => other === name) < i);
  if (twice !== undefined) throw new UsageError(`--lora-rank gives "${twice[0]}" two ranks.`);
  return Object.fromEntries(entries);
}

async function convertInto(
  context: CommandContext,
  options: ConvertOptions,
  { evaluate, evaluateRanks, html }: ConvertFlags,
): Promise<ExitCode> {
  // Loaded here, so that help and wrong usage do not wait for it.
  const { convert } = await import('../convert/convert.ts');
  const { convertDocument } = await import('../convert/report/convert-document.ts');
  const { signal, progress } = context;
  // Before the work, which may take hours.
  const unwritable = html === undefined ? undefined : await whyNotWritable(html);
  if (unwritable !== undefined) return context.fail([unwritable]);
  const text = evaluate === undefined ? success(undefined) : await readText(options.model, evaluate, signal);
  if (!text.ok) return context.fail(text.diagnostics);
  const result = await convert({ ...options, signal, onProgress: progress.show });
  if (!result.ok) return context.fail(nameFlags(result.diagnostics));
  context.report(result.diagnostics);
  const evaluated = text.value === undefined ? success(undefined) : await evaluateOn(text.value, result.value);
  // The checkpoint is written, whatever became of this.
  if (!evaluated.ok) context.report(evaluated.diagnostics);
  const document = convertDocument(result.value, {
    rtc: rtcVersion(),
    asked: options,
    evaluation: evaluated.ok ? evaluated.value : undefined,
  });
  if (context.json) {
    context.printJson({
      ok: evaluated.ok,
      ...document,
      diagnostics: [...result.diagnostics, ...evaluated.diagnostics],
    });
  } else {
    const { formatConversion } = await import('../convert/report/format-conversion.ts');
    if (!context.quiet) context.print(`${formatConversion(document, context.style.bold)}\n`);
  }
  const unwritten = html === undefined ? undefined : await writePage(html, document);
  if (unwritten !== undefined) context.report([unwritten]);
  if (!context.json) {
    const { bold, green } = context.style;
    context.print(context.quiet ? `${options.out}\n` : `${green('converted')} ${bold(options.out)}\n`);
  }
  if (!evaluated.ok) return exitCodeOf(evaluated.diagnostics);
  return unwritten === undefined ? exitCodes.done : exitCodes.problems;

  async function evaluateOn(text: EvaluationText, converted: ConvertResult) {
    const { evaluateConversion } = await import('../convert/evaluate/evaluate-conversion.ts');
    const largest = converted.matrices.reduce((most, { rank }) => Math.max(most, rank), 0);
    const ranks = [...new Set([0, Math.floor(largest / 16), Math.floor(largest / 4)])];
    return evaluateConversion(converted, text, {
      ranks: evaluateRanks ?? ranks.filter((rank) => rank < largest),
      // Beside the checkpoint, to which links can be made.
      scratch: dirname(options.out),
      threads: options.threads,
      signal,
      onProgress: progress.show,
    });
  }

  async function writePage(file: string, document: ConvertDocument): Promise<Diagnostic | undefined> {
    const { convertPage } = await import('../convert/report/page/convert-page.ts');
    try {
      await writeFile(file, convertPage(document));
      context.note(`wrote ${file}`);
      return undefined;
    } catch (error) {
      return fileDiagnostic(error, { file }, 'write');
    }
  }
}

/** The text that is to be evaluated, as the model reads it. */
async function readText(model: string, file: string, signal: AbortSignal): Promise<Result<EvaluationText>> {
  const { readModel } = await import('../read/read-model.ts');
  const { readEvaluationText } = await import('../convert/evaluate/evaluation-text.ts');
  const read = await readModel(model, { signal });
  return read.ok ? readEvaluationText(read.value, file) : read;
}

/** What a conversion of hours would end with. */
async function whyNotWritable(file: string): Promise<Diagnostic | undefined> {
  try {
    await access(dirname(file), constants.W_OK);
    return undefined;
  } catch (error) {
    return fileDiagnostic(error, { file }, 'write');
  }
}

const flagNames: Readonly<Record<string, string>> = {
  layers: '--layers',
  sharing: '--sharing',
  loops: '--loops',
  parameters: '--parameters',
};

/** What the library says of its options, for whoever typed flags. */
function nameFlags(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  const named = (text: string) =>
    text.replaceAll(/"(layers|sharing|loops|parameters)"/g, (_, name) => flagNames[name]!);
  return diagnostics.map(({ message, hint, ...rest }) => ({
    ...rest,
    message: named(message),
    ...(hint === undefined ? {} : { hint: named(hint) }),
  }));
}
