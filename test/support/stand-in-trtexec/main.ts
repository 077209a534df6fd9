import { appendFileSync } from 'node:fs';
import { readCommandLine } from './command-line.ts';
import { failInHelp } from './failures.ts';
import { openLog } from './log.ts';
import { readSettings } from './settings.ts';

// Stands in for trtexec in tests: see README.md. Exits as trtexec does.

/** What trtexec exits with; it knows no other codes. */
const [done, failed] = [0, 1] as const;

async function main(argv: readonly string[]): Promise<number> {
  const settings = readSettings(process.env);
  if (settings.pids !== undefined) appendFileSync(settings.pids, `${process.pid}\n`);
  if (settings.calls !== undefined) appendFileSync(settings.calls, `${JSON.stringify(argv)}\n`);
  const [major = 11, minor = 1, patch = 0] = (settings.version ?? '11.1.0').split('.').map(Number);
  const log = openLog([major, minor, patch], ['trtexec', ...argv]);
  const line = readCommandLine(argv, [major, minor, patch]);
  if (line.kind === 'help') {
    const code = await failInHelp(settings, log);
    if (code !== undefined) return code;
    log.banner('RUNNING');
    help(log);
    return done;
  }
  log.banner('RUNNING');
  if (line.kind === 'refused') {
    // Numbers that are none are exceptions of another kind, which it reports otherwise.
    const uncaught = line.reason.startsWith('Uncaught exception');
    if (!uncaught) help(log);
    log.say('E', line.reason);
    // 11.1 returns before it would say so.
    if (uncaught || major < 11 || (major === 11 && minor < 1)) log.banner('FAILED');
    return failed;
  }
  for (const warning of line.warnings) log.say('W', warning);
  const call = { settings, log, argv, version: [major, minor, patch] as const, ...line };
  try {
    // Loaded when they are needed: most calls only ask for the version.
    const code = line.options.has('loadEngine')
      ? await (await import('./run-engine.ts')).runEngine(call)
      : await (await import('./build-engine.ts')).buildEngine(call);
    log.banner(code === done ? 'PASSED' : 'FAILED');
    return code;
  } catch (error) {
    log.say('E', `Uncaught exception detected: ${error instanceof Error ? error.message : String(error)}`);
    log.banner('FAILED');
    return failed;
  }
}

function help(log: ReturnType<typeof openLog>): void {
  log.raw(1, '=== Model Options ===\n  --onnx=<file>               ONNX model\n\n=== Build Options ===\n');
  log.raw(1, '  --saveEngine=<file>         Save the serialized engine\n\n(This is a stand-in for tests.)\n');
}

// ONNX Runtime's threads would otherwise be waited for.
process.exit(await main(process.argv.slice(2)));
