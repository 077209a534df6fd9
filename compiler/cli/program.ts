import { Command } from 'commander';
import { benchCommand } from './bench.ts';
import { cacheCommand } from './cache.ts';
import { compileCommand } from './compile.ts';
import { convertCommand } from './convert.ts';
import type { Host } from './host.ts';
import { inspectCommand } from './inspect.ts';
import { runCommand } from './run.ts';
import { serveCommand } from './serve.ts';
import { simulateCommand } from './simulate.ts';
import type { StartCommand } from './start-command.ts';
import { verifyCommand } from './verify.ts';

/** Every command, in the order of the help. */
export const commandNames: readonly string[] = [
  'convert',
  'compile',
  'run',
  'serve',
  'bench',
  'verify',
  'inspect',
  'simulate',
  'cache',
];

/** The whole command line of rtc. Parsing throws what `usageErrorOf` understands; only help is printed. */
export function createProgram(version: string, host: Host, start: StartCommand): Command {
  const program = new Command('rtc')
    .description('The compiler for recursive transformers: one shared block, many depths, one ONNX graph.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText(
      'after',
      `
Examples:
  $ rtc convert checkpoint --loops 2 --lora-rank 64 --out model
  $ rtc compile model --out package
  $ rtc verify package --reference reference.safetensors
  $ rtc run package --prompt "In the beginning"

"rtc help compile" tells more. Exit codes: 0 done, 1 the input has problems, 2 wrong usage, 3 verification failed,
4 ONNX Runtime or trtexec is missing or failed, 130 interrupted.`,
    );
  for (const make of [
    convertCommand,
    compileCommand,
    runCommand,
    serveCommand,
    benchCommand,
    verifyCommand,
    inspectCommand,
    simulateCommand,
    cacheCommand,
  ]) {
    const command = make(start).helpOption('-h, --help', 'show this help');
    program.addCommand(command);
    // Of a command with commands inside, these do the work.
    for (const worker of command.commands.length > 0 ? command.commands : [command]) {
      worker
        .option('--json', 'print one JSON document on stdout, all else on stderr')
        .option('-q, --quiet', 'say nothing but results and errors')
        .helpOption('-h, --help', 'show this help');
    }
  }
  for (const command of [program, ...program.commands.flatMap((each) => [each, ...each.commands])]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => host.stdout.write(text),
      writeErr: (text) => host.stderr.write(text),
      outputError: () => {},
    });
  }
  return program;
}
