import { constants } from 'node:os';
import type { Diagnostic } from '../../../files/diagnostics.ts';
import { formatVersion } from '../versions.ts';
import { type FailedCall, findSign } from './failure-signs.ts';
import type { LogSummary, ParserError } from './log-reader.ts';
import { commandLine } from './quote-sh.ts';
import type { TrtexecPhase } from './read-log.ts';
import type { ProcessEnd } from './run-process.ts';

/** A call of trtexec that went wrong, and what it left behind. */
export interface Failure extends FailedCall {
  readonly path: string;
  /** Where it ran. */
  readonly folder: string;
  /** Where its output is kept. */
  readonly log: string | undefined;
  readonly end: ProcessEnd;
  readonly summary: LogSummary;
  /** What it was doing last. */
  readonly phase: TrtexecPhase | undefined;
  readonly timeoutMs: number | undefined;
  /** The file that the engine should be in, when it ended well but left none. */
  readonly missing?: string | undefined;
}

/** Why trtexec failed, in its own lines and in ours, and what to do: one error. */
export function diagnoseFailure(failure: Failure): Diagnostic {
  const { end, summary } = failure;
  const doing = failure.phase === undefined ? '' : ` while it was ${phaseTexts[failure.phase]}`;
  switch (end.kind) {
    case 'aborted':
      return {
        severity: 'error',
        code: 'interrupted',
        message: 'Interrupted; trtexec and all that it started have ended.',
      };
    case 'timeout': {
      const seconds = (failure.timeoutMs ?? 0) / 1000;
      return error(failure, {
        code: 'trtexec-timeout',
        message: `trtexec did not end within ${seconds} seconds and was stopped${doing}.`,
        lines: lastLines(failure, 1),
        hint: 'Engines of large models take many minutes; the timing cache makes the next try shorter only after a build that ended.',
      });
    }
    case 'not-started':
      return error(failure, {
        code: 'trtexec-failed',
        message: `trtexec could not be started: ${end.code}.`,
        lines: [],
      });
    case 'signaled':
      return crashed(failure, end.signal, doing);
    case 'exited': {
      if (failure.missing !== undefined && findSign(summary.errors, failure) === undefined) {
        return error(failure, {
          code: 'trtexec-failed',
          message: `trtexec ended with exit code 0, but there is no engine in "${failure.missing}".`,
          lines: summary.errors.slice(-3),
          hint: 'Does an argument behind -- keep it from building?',
        });
      }
      if (summary.parserErrors.length > 0) return refusedGraph(failure);
      const sign = findSign(summary.errors, failure);
      if (sign) return error(failure, { ...sign, lines: aroundSign(failure, sign.line) });
      if (end.code === 0) {
        return error(failure, {
          code: 'trtexec-failed',
          message: 'trtexec ended with exit code 0, but left no engine that can be read back.',
          lines: summary.errors.slice(-5),
          hint: 'Where these lines do not say why: is there room on the disk?',
        });
      }
      // A container, or a script around trtexec, reports the signal this way.
      const signal = end.code > 128 ? signalOf(end.code - 128) : undefined;
      if (signal !== undefined) return crashed(failure, signal, doing);
      // It reads its options before it looks at the GPU, and says what is wrong with them in words of its own.
      if (end.code === 1 && summary.gpu === undefined && summary.version !== undefined && summary.errors.length > 0) {
        return error(failure, {
          code: 'trtexec-option',
          message: 'trtexec does not take its options.',
          lines: summary.errors,
        });
      }
      return error(failure, {
        code: 'trtexec-failed',
        message: `trtexec failed with exit code ${end.code}${doing}${summary.errors.length === 0 ? ', and named no error' : ''}.`,
        lines: lastLines(failure, 6),
      });
    }
  }
}

/** What trtexec is doing, for a sentence. */
export const phaseTexts: Readonly<Record<TrtexecPhase, string>> = {
  starting: 'starting',
  parsing: 'reading the graph',
  building: 'building the engine',
  loading: 'loading the engine',
  running: 'running the engine',
  finished: 'ending',
};

function crashed(failure: Failure, signal: NodeJS.Signals, doing: string): Diagnostic {
  const sign = findSign(failure.summary.errors, failure);
  if (signal === 'SIGKILL') {
    return error(failure, {
      code: 'trtexec-out-of-memory',
      message: `trtexec was killed${doing} (SIGKILL), as systems do when their memory runs out.`,
      lines: lastLines(failure, 3),
      hint: 'dmesg says whether it was the kernel; a container or a batch system may have a limit of its own.',
    });
  }
  const stopped = signal === 'SIGTERM' || signal === 'SIGINT' || signal === 'SIGHUP';
  return error(failure, {
    code: sign?.code === 'trtexec-out-of-memory' ? sign.code : 'trtexec-crashed',
    message: stopped
      ? `trtexec was ended by somebody else${doing} (${signal}).`
      : `trtexec crashed${doing} (${signal}).`,
    lines: lastLines(failure, 6),
    hint:
      sign?.hint ??
      (stopped ? undefined : 'Another --optimization-level may avoid it; a crash is for NVIDIA to look at.'),
  });
}

/** The parser's complaints, each with the node in our words. */
function refusedGraph(failure: Failure): Diagnostic {
  const { summary, describeNode, version } = failure;
  const errors = summary.parserErrors;
  const [first] = errors as [ParserError];
  const known = first.node && describeNode?.(first.node.number, first.node.opType, first.node.output);
  const at =
    first.node === undefined
      ? ''
      : ` at node ${first.node.number}, ${known ?? `${first.node.opType} (output "${first.node.output}")`}`;
  const lines = errors
    .slice(0, 3)
    .flatMap(({ node, place, function: name, text }) => [
      ...(node === undefined ? [] : [`While parsing node number ${node.number} [${node.opType} -> "${node.output}"]:`]),
      `ERROR: ${place} In function ${name}:`,
      ...text.split('\n'),
    ]);
  const more = errors.length > 3 ? [`… and ${errors.length - 3} more`] : [];
  const ofVersion = version === undefined ? '' : ` of TensorRT ${formatVersion(version)}`;
  const plugin = /Plugin not found/.test(first.text);
  return error(failure, {
    code: 'trtexec-parser',
    message: `The parser${ofVersion} refuses the graph${at}.`,
    lines: [...lines, ...more],
    hint: plugin
      ? `This version has no operator ${first.node?.opType ?? 'of that name'}: compile with --tensorrt-version ${version ? `${version.major}.${version.minor}` : 'and the version of this trtexec'}, or with --attention parts.`
      : undefined,
  });
}

interface Told {
  readonly code: Diagnostic['code'];
  readonly message: string;
  /** Of trtexec's own output. */
  readonly lines: readonly string[];
  readonly hint?: string | undefined;
}

function error({ path, folder, args, log }: Failure, { code, message, lines, hint }: Told): Diagnostic {
  const own = lines.flatMap((line) => line.split('\n')).map((line) => `  ${line.slice(0, longestLine)}`);
  const where = log === undefined ? [] : [`The whole output is in ${log}`];
  return {
    severity: 'error',
    code,
    message: [message, ...own].join('\n'),
    hint: [...(hint === undefined ? [] : [hint]), ...where, `Again: ${commandLine(folder, path, args)}`].join('\n'),
  };
}

const longestLine = 400;

/** What was said last: errors where there are any, else whatever there is. */
function lastLines({ summary }: Failure, count: number): readonly string[] {
  const { errors, stderrTail, stdoutTail } = summary;
  return (errors.length > 0 ? errors : stderrTail.length > 0 ? stderrTail : stdoutTail).slice(-count);
}

/** The line that told, and the errors beside it. */
function aroundSign({ summary: { errors } }: Failure, line: string): readonly string[] {
  const at = errors.indexOf(line);
  return errors.slice(Math.max(0, at - 1), at + 3);
}

function signalOf(number: number): NodeJS.Signals | undefined {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] as NodeJS.Signals | undefined;
}
