import type { EngineOptions, ExitRule, KvPolicy } from '../../runtime/index.ts';
import type { ServerOptions } from '../../serve/server-options.ts';
import { UsageError } from './usage-error.ts';

/** What commander makes of the options of `rtc serve`. */
export interface ServeFlags {
  readonly port?: number;
  readonly host?: string;
  readonly exitThreshold?: number;
  readonly meanLoops?: number;
  readonly kvPolicy?: KvPolicy;
  readonly maxRows?: number;
  readonly maxSequences?: number;
  readonly maxQueue?: number;
  readonly pageMemory?: number;
  readonly threads?: number;
  readonly maxBody?: number;
  /** In seconds. */
  readonly timeout?: number;
  /** In seconds. */
  readonly grace?: number;
}

/** The same, by whom they are for. */
export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  /** In milliseconds. */
  readonly grace: number;
  readonly engine: EngineOptions;
  readonly server: Pick<ServerOptions, 'exit' | 'maxQueue' | 'maxBody' | 'requestTime'>;
}

/** Throws a UsageError for options that contradict each other. */
export function serveOptions(flags: ServeFlags): ServeOptions {
  const { host = '127.0.0.1', port = 8000, grace = 10, timeout, pageMemory } = flags;
  const { kvPolicy, maxRows, maxSequences, threads, maxQueue, maxBody } = flags;
  if (host.trim() === '') throw new UsageError('--host is empty.', 'Leave it out to serve this machine alone.');
  return {
    // Browsers and servers disagree on which address this name is.
    host: host.toLowerCase() === 'localhost' ? '127.0.0.1' : host,
    port,
    grace: 1000 * grace,
    engine: { warmPages: true, ...given({ kvPolicy, maxRows, maxSequences, threads, pageBytes: pageMemory }) },
    server: {
      exit: exitRule(flags),
      ...given({ maxQueue, maxBody, requestTime: timeout === undefined ? undefined : 1000 * timeout }),
    },
  };
}

function exitRule({ exitThreshold, meanLoops }: ServeFlags): ExitRule | undefined {
  if (exitThreshold !== undefined && meanLoops !== undefined) {
    throw new UsageError('The options "--exit-threshold" and "--mean-loops" do not go together: either decides alone.');
  }
  if (meanLoops !== undefined) return { kind: 'budget', meanLoops };
  return exitThreshold === undefined ? undefined : { kind: 'threshold', threshold: exitThreshold };
}

/** An object without the keys that have no value. */
function given<T extends object>(object: T): { readonly [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
