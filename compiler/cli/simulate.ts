import { Command } from 'commander';
import type { Diagnostic } from '../../files/diagnostics.ts';
import type { SimulationReport } from '../../simulate/simulate.ts';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import type { StartCommand } from './start-command.ts';
import { UsageError } from './usage-error.ts';

/** `rtc simulate`: what batching would do with given times and exits, without a model. */
export function simulateCommand(start: StartCommand): Command {
  const command = new Command('simulate')
    .summary('simulate batching from times and exits')
    .description(
      'Computes the throughput of vanilla, sequence-wise and depth-wise batching from how long passes take by number ' +
        'of rows, where tokens leave, and what memory holds: scheduler step by scheduler step, and by formula. Needs no ' +
        'model; times come from "rtc bench --profile --json", or from anywhere else, such as trtexec on a GPU.',
    )
    .argument('[file]', 'simulation to run, JSON')
    .option('--paper', 'do the simulation of the paper again, and count what it left out')
    .addHelpText(
      'after',
      `
Examples:
  $ rtc simulate batching.json
  $ rtc simulate batching.json --json
  $ rtc simulate --paper

A small simulation; schema/rtc-simulation.schema.json has every key:
  {
    "format": "rtc-simulation", "version": 1, "loops": 3,
    "times": {
      "passes": [{ "rows": 1, "milliseconds": 1.5 }, { "rows": 8, "milliseconds": 3.1 }, { "rows": 32, "milliseconds": 8 }],
      "heads": [{ "heads": 1, "milliseconds": 0.4 }, { "heads": 32, "milliseconds": 1.2 }]
    },
    "exits": { "mean": 1.76 },
    "workload": { "sequences": 100, "newTokens": { "least": 16, "most": 200 } },
    "limits": { "maxRows": [8, 16, 32] }
  }
Instead of these: "times": {"file": "profile.json"}, "exits": {"trace": "run.json"} as "rtc run --json" prints it, or
{"shares": [0.5, 0.3, 0.2]}, "workload": {"arrivals": {"kind": "poisson", "perSecond": 4}, ...}, "limits": {"memory": {...}}.`,
    );
  return command.action((file: string | undefined, { paper }: { readonly paper?: boolean }) => {
    if (file === undefined && !paper) {
      throw new UsageError('FILE is missing.', 'Name a simulation, or ask for --paper.');
    }
    if (file !== undefined && paper) {
      throw new UsageError('A file and --paper do not go together: the numbers of the paper are built in.');
    }
    return start(command, (context) => (file === undefined ? simulatePaper(context) : simulateFile(context, file)));
  });
}

async function simulatePaper(context: CommandContext): Promise<ExitCode> {
  // Loaded here, so that help and wrong usage do not wait for it.
  const { reproducePaper } = await import('../../simulate/paper/reproduce-paper.ts');
  const { formatPaper } = await import('../simulate/format-paper.ts');
  const report = reproducePaper();
  if (context.json) context.printJson({ ok: true, paper: report });
  else context.print(formatPaper(report, context.style.bold));
  return exitCodes.done;
}

async function simulateFile(context: CommandContext, file: string): Promise<ExitCode> {
  const { readSimulation } = await import('../../simulate/read/read-simulation.ts');
  const { simulate } = await import('../../simulate/simulate.ts');
  const { formatSimulation } = await import('../simulate/format-simulation.ts');
  context.progress.show({ step: 'reading' });
  const read = await readSimulation(file);
  if (!read.ok) return context.fail(read.diagnostics);
  context.report(read.diagnostics);
  const onProgress = (step: string) => context.progress.show({ step: `simulating ${step}` });
  const report = await simulate(read.value, { signal: context.signal, onProgress });
  if (report === undefined) return context.fail([interrupted(file)]);
  context.report(notCounted(file, report));
  if (context.json) context.printJson({ ok: true, ...report });
  else context.print(formatSimulation(report, context.style.bold));
  return exitCodes.done;
}

function notCounted(file: string, { notCounted }: SimulationReport): readonly Diagnostic[] {
  if (notCounted.length === 0) return [];
  const message = `The times say nothing of ${notCounted.join(' and ')}: they cost nothing here.`;
  return [{ severity: 'note', code: 'not-counted', location: { file, path: 'times' }, message }];
}

function interrupted(file: string): Diagnostic {
  return { severity: 'error', code: 'interrupted', location: { file }, message: 'The simulation was interrupted.' };
}
