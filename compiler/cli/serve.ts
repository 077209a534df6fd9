import { Command, Option } from 'commander';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { readPackage } from '../../files/package.ts';
import { checkExitRule } from '../../runtime/check-exit-rule.ts';
import type { Engine, EngineLimits } from '../../runtime/index.ts';
import { isLoopback } from '../../serve/loopback.ts';
import type { RequestReport, ServerOptions } from '../../serve/server-options.ts';
import { formatBytes } from '../inspect/format-bytes.ts';
import { rtcVersion } from '../version.ts';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodeOf, exitCodes } from './exit-code.ts';
import { nameFlags } from './name-flags.ts';
import { byteCount, number, oneOf, wholeNumber } from './option-values.ts';
import { type ServeFlags, type ServeOptions, serveOptions } from './serve-options.ts';
import type { StartCommand } from './start-command.ts';

/** `rtc serve`: a package behind OpenAI's completions interface. */
export function serveCommand(start: StartCommand): Command {
  const seconds = (flag: string) =>
    number(flag, 'a number of seconds above 0', (s) => s > 0 && s <= 2 ** 31 / 1000 - 1);
  const command = new Command('serve')
    .summary('serve a package to OpenAI clients')
    .description(
      "Serves a package of the form depth-batched behind OpenAI's completions interface, to this machine alone unless " +
        'told otherwise: POST /v1/completions and /v1/chat/completions, GET /v1/models, /health and /metrics. Ctrl-C ' +
        'lets running requests finish; a second one ends at once.',
    )
    .argument('<package>', 'folder of a package')
    .option(
      '--port <n>',
      'where to listen, 0: wherever there is room (default: 8000)',
      number('--port', 'a whole number from 0 to 65535', (n) => Number.isInteger(n) && n >= 0 && n <= 65_535),
    )
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option(
      '--exit-threshold <t>',
      "for requests without exit_threshold: leave when this sure, 1: never (default: the model's own)",
      number('--exit-threshold', 'a number', () => true),
    )
    .option(
      '--mean-loops <x>',
      'for requests without it: move the threshold so that tokens run this many loops on average',
      number('--mean-loops', 'a number of at least 1', (x) => x >= 1 && x < Number.POSITIVE_INFINITY),
    )
    .addOption(
      new Option(
        '--kv-policy <policy>',
        'keys and values of loops that a token skipped: last-exited, propagate, complete or shared (default: last-exited)',
      ).argParser(oneOf('--kv-policy', ['last-exited', 'propagate', 'complete', 'shared'])),
    )
    .option('--max-rows <n>', 'rows of a step, at most (default: 16)', wholeNumber('--max-rows', 1))
    .option(
      '--max-sequences <n>',
      'sequences that run at once, at most (default: as many as rows)',
      wholeNumber('--max-sequences', 1),
    )
    .option('--max-queue <n>', 'sequences that wait; more are refused (default: 128)', wholeNumber('--max-queue', 0))
    .option(
      '--page-memory <bytes>',
      "memory for keys and values, as 512M or 2G (default: what is needed, up to a quarter of the machine's)",
      byteCount('--page-memory'),
    )
    .option('--threads <n>', 'threads of ONNX Runtime (default: all cores)', wholeNumber('--threads', 1))
    .option('--max-body <bytes>', 'the largest request (default: 1M)', byteCount('--max-body'))
    .option('--timeout <seconds>', 'the longest that a request may take (default: 600)', seconds('--timeout'))
    .option(
      '--grace <seconds>',
      'how long running requests may go on after Ctrl-C (default: 10)',
      number('--grace', 'a number of seconds', (s) => s >= 0 && s <= 2 ** 31 / 1000 - 1),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ rtc serve kjv-relaxed-depth-batched
  $ rtc serve kjv-relaxed-depth-batched --port 9000 --max-rows 8 --page-memory 512M --exit-threshold 0.7
  $ curl localhost:8000/v1/completions -H 'Content-Type: application/json' \\
      -d '{"prompt": "In the beginning", "max_tokens": 32, "temperature": 0, "stream": true}'

Requests take exit_threshold, exit_at, mean_loops, ignore_eos, top_k and return_token_ids besides what OpenAI has.`,
    );
  return command.action((folder: string, flags: ServeFlags) => {
    const options = serveOptions(flags);
    return start(command, (context) => serve(context, folder, options));
  });
}

async function serve(context: CommandContext, folder: string, options: ServeOptions): Promise<ExitCode> {
  context.progress.show({ step: 'loading' });
  const read = await readPackage(folder, { check: 'sizes' });
  if (!read.ok) return context.fail(read.diagnostics);
  const { exit } = options.server;
  const never = exit === undefined ? [] : checkExitRule(exit, read.value.manifest.recursion.loops);
  if (never.length > 0) return context.fail(never);
  // Loaded here, so that help and wrong usage do not wait for it.
  const { planEngine, openEngine } = await import('../../runtime/index.ts');
  const plan = planEngine(read.value.manifest, options.engine);
  if (!plan.ok) return context.fail(nameFlags(plan.diagnostics));
  context.note(context.noteStyle.dim(capacity(plan.value)));
  const { loadChatTemplate } = await import('../../serve/chat-template.ts');
  const chatTemplate = await loadChatTemplate(read.value.folder);
  if (!chatTemplate.ok) return context.fail(chatTemplate.diagnostics);
  const opened = await openEngine(folder, options.engine);
  if (!opened.ok) return context.fail(nameFlags(opened.diagnostics));
  context.report(opened.diagnostics);
  try {
    return await serveEngine(context, opened.value, { ...options, chatTemplate: chatTemplate.value });
  } finally {
    await opened.value.close();
  }
}

async function serveEngine(
  context: CommandContext,
  engine: Engine,
  { host, port, grace, server: limits, chatTemplate }: ServeOptions & Pick<ServerOptions, 'chatTemplate'>,
): Promise<ExitCode> {
  const { createServer } = await import('../../serve/create-server.ts');
  const { RuntimeFailure } = await import('../../runtime/index.ts');
  let broke: (failure: InstanceType<typeof RuntimeFailure>) => void = () => {};
  const broken = new Promise<InstanceType<typeof RuntimeFailure>>((resolve) => {
    broke = resolve;
  });
  const server = createServer(engine, rtcVersion(), {
    ...limits,
    chatTemplate,
    loopbackOnly: isLoopback(host),
    onEnded: (report) => context.note(context.noteStyle.dim(requestLine(report))),
    onFailure: (error) => {
      if (error instanceof RuntimeFailure) broke(error);
      else context.report([bugInRequest(error, context.env)]);
    },
  });
  const listening = await server.listen({ host, port });
  if (!listening.ok) {
    await server.stop(0);
    return context.fail(listening.diagnostics);
  }
  context.report(isLoopback(host) ? [] : [openToNetwork(host)]);
  const { name } = engine.manifest;
  const url = listening.value;
  if (context.json) {
    context.printJson({ ok: true, url, model: name, chat: chatTemplate !== undefined, limits: engine.limits });
  } else context.print(`${context.style.green('serving')} ${name} on ${context.style.bold(url)}\n`);

  const failure = await Promise.race([aborted(context.signal), broken]);
  if (failure === undefined) {
    context.note(`stopping; what runs may go on for ${grace / 1000} s, another Ctrl-C ends at once`);
  }
  const cancelled = await server.stop(failure === undefined ? grace : 0);
  if (failure === undefined) return cancelled === 0 ? exitCodes.done : exitCodes.interrupted;
  if (failure.cause !== undefined && failure.diagnostic.code === 'internal-error') throw failure.cause;
  // With --json the document is out already.
  context.report([failure.diagnostic]);
  return exitCodeOf([failure.diagnostic]);
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

function capacity({ pageBytes, maxRows, maxSequences, maxPositions }: EngineLimits): string {
  const sequences = maxSequences === 1 ? 'a sequence' : `${maxSequences} sequences`;
  const rows = maxRows === 1 ? 'a row' : `${maxRows} rows`;
  return `at most ${formatBytes(pageBytes)} of keys and values, for ${sequences} of up to ${maxPositions} positions; ${rows} a step`;
}

function requestLine({ endpoint, outcome, promptTokens, newTokens, meanLoops, seconds }: RequestReport): string {
  const loops = meanLoops === undefined ? '' : ` of ${meanLoops.toFixed(2)} loops`;
  return `${endpoint} ${outcome}: ${promptTokens} tokens in, ${newTokens} out${loops}, ${seconds.toFixed(2)} s`;
}

function openToNetwork(host: string): Diagnostic {
  return {
    severity: 'warning',
    code: 'open-to-network',
    message: `Everybody who can reach ${host} can use this server: it asks for no key.`,
    hint: 'Without --host it serves this machine alone.',
  };
}

/** One request is lost to a bug; the others go on. */
function bugInRequest(error: unknown, env: NodeJS.ProcessEnv): Diagnostic {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return {
    severity: 'error',
    code: 'internal-error',
    message: `A request failed by a bug in rtc: ${env.RTC_DEBUG ? (stack ?? message) : message}`,
    hint: 'Please report it. With RTC_DEBUG=1 in the environment it says where.',
  };
}
