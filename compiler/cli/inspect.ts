import { Command } from 'commander';
import { exitCodes } from './exit-code.ts';
import type { StartCommand } from './start-command.ts';

/** `rtc inspect`: what a model, package, .onnx or .rtc is made of. */
export function inspectCommand(start: StartCommand): Command {
  const command = new Command('inspect')
    .summary('show what a model, package or graph is made of')
    .description(
      'Shows structure, loops, sizes, inputs and outputs. Takes models that rtc could compile, packages, .onnx files ' +
        'of any origin, and graphs of the IR (.rtc) as --dump-passes writes them. Reads no weights.',
    )
    .argument('<path>', 'model.json, folder of a model or package, .onnx or .rtc file')
    .addHelpText(
      'after',
      `
Examples:
  $ rtc inspect model.json
  $ rtc inspect kjv-relaxed-loop
  $ rtc inspect kjv-relaxed-loop/model.onnx --json
  $ rtc inspect dump/03-fold-loop.rtc`,
    );
  return command.action((path: string) =>
    start(command, async (context) => {
      // Loaded here, so that help and wrong usage do not wait for it.
      const { inspect } = await import('../inspect/inspect.ts');
      const { formatInspection } = await import('../inspect/format-inspection.ts');
      const inspected = await inspect(path, { signal: context.signal });
      if (!inspected.ok) return context.fail(inspected.diagnostics);
      context.report(inspected.diagnostics);
      if (context.json) context.printJson(inspected.value);
      else context.print(formatInspection(inspected.value, context.style.bold));
      return exitCodes.done;
    }),
  );
}
