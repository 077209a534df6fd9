import { Command } from 'commander';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { wholeNumber } from './option-values.ts';
import type { StartCommand } from './start-command.ts';
import { UsageError } from './usage-error.ts';

interface VerifyFlags {
  readonly reference?: string;
  readonly model?: string;
  readonly seed?: number;
  readonly engine?: boolean;
  readonly trtexec?: string;
}

/** `rtc verify`: does a package compute what its model says? */
export function verifyCommand(start: StartCommand): Command {
  const command = new Command('verify')
    .summary('compare a package with its model or with a reference')
    .description(
      'Runs a package as it was written and compares its outputs: with what its model gives in float64 on random ' +
        'tokens, or with a reference.safetensors. Says which output differs first, and where.',
    )
    .argument('<package>', 'folder of a package')
    .option('--reference <file>', 'safetensors with input_ids, logits, and what else somebody computed')
    .option('--model <model>', 'the model to compare with (default: the one in the package)')
    .option('--seed <n>', 'what to draw random tokens with (default: 0)', wholeNumber('--seed', 0))
    .option('--engine', 'target tensorrt: run the engines through trtexec, in place of the graphs')
    .option('--trtexec <path>', 'with --engine: trtexec (default: TRTEXEC, what is on PATH, the usual places)')
    .addHelpText(
      'after',
      `
Examples:
  $ rtc verify kjv-relaxed-unrolled
  $ rtc verify kjv-relaxed-unrolled --reference examples/kjv-relaxed/reference.safetensors
  $ rtc verify kjv-relaxed-loop --model examples/kjv-relaxed --json
  $ rtc verify kjv-relaxed-tensorrt --engine`,
    );
  return command.action((folder: string, flags: VerifyFlags) => {
    if (flags.trtexec !== undefined && !flags.engine) {
      throw new UsageError('--trtexec says what runs engines, and no engine is asked for.', 'Add --engine.');
    }
    return start(command, (context) => verify(context, folder, flags));
  });
}

async function verify(
  context: CommandContext,
  folder: string,
  { engine = false, trtexec, ...flags }: VerifyFlags,
): Promise<ExitCode> {
  // Loaded here, so that help and wrong usage do not wait for it.
  const { verifyPackage } = await import('../verify/verify-package.ts');
  const { formatVerifyReport } = await import('../verify/format-verify-report.ts');
  const { signal, progress, style, env } = context;
  const verified = await verifyPackage(folder, {
    ...flags,
    ...(engine ? { engine: { trtexec, env } } : {}),
    signal,
    onProgress: progress.show,
  });
  if (!verified.ok) return context.fail(verified.diagnostics);
  context.report(verified.diagnostics);
  const { document } = verified.value;
  if (context.json) context.printJson(document);
  else if (!context.quiet || !document.ok) {
    const emphasize = (text: string, as: 'good' | 'bad') => (as === 'good' ? style.green(text) : style.red(text));
    context.print(formatVerifyReport(verified.value, emphasize));
  }
  return document.ok ? exitCodes.done : exitCodes.verificationFailed;
}
