import { Command } from 'commander';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { wholeNumber } from './option-values.ts';
import type { StartCommand } from './start-command.ts';

interface VerifyFlags {
  readonly reference?: string;
  readonly model?: string;
  readonly seed?: number;
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
    .addHelpText(
      'after',
      `
Examples:
  $ rtc verify kjv-relaxed-unrolled
  $ rtc verify kjv-relaxed-unrolled --reference examples/kjv-relaxed/reference.safetensors
  $ rtc verify kjv-relaxed-loop --model examples/kjv-relaxed --json`,
    );
  return command.action((folder: string, flags: VerifyFlags) =>
    start(command, (context) => verify(context, folder, flags)),
  );
}

async function verify(context: CommandContext, folder: string, flags: VerifyFlags): Promise<ExitCode> {
  // Loaded here, so that help and wrong usage do not wait for it.
  const { verifyPackage } = await import('../verify/verify-package.ts');
  const { formatVerifyReport } = await import('../verify/format-verify-report.ts');
  const { signal, progress, style } = context;
  const verified = await verifyPackage(folder, { ...flags, signal, onProgress: progress.show });
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
