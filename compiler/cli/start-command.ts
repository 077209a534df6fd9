import type { Command } from 'commander';
import { type CommandContext, type CommonOptions, commandContext } from './command-context.ts';
import type { ExitCode } from './exit-code.ts';
import type { Host } from './host.ts';

/** Runs the body of a command once its command line is understood, and keeps the exit code it ends with. */
export type StartCommand = (command: Command, body: (context: CommandContext) => Promise<ExitCode>) => Promise<void>;

export function commandStarter(host: Host, finish: (code: ExitCode) => void): StartCommand {
  return async (command, body) => {
    const context = commandContext(host, command.opts<CommonOptions>());
    try {
      finish(await body(context));
    } finally {
      context.progress.clear();
    }
  };
}
