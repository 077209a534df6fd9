/** How the stand-in can fail. The part before the colon says when: while it builds, runs an engine, or is asked for help. */
export const failureNames = [
  'build:parse-error',
  'build:two-parse-errors',
  'build:missing-weights',
  'build:out-of-memory',
  'build:killed',
  'build:crash',
  'build:abort',
  'build:hang',
  'build:partial-plan',
  'build:truncated-plan',
  'build:disk-full',
  'build:no-plan',
  'build:empty-plan',
  'build:shapes',
  'build:no-implementation',
  'build:timing-cache-miss',
  'build:uncaught',
  'build:child',
  'build:escaped-child',
  'build:garbage',
  'build:invalid-utf8',
  'build:long-lines',
  'build:many-lines',
  'build:no-gpu',
  'build:old-driver',
  'build:silent',
  'run:crash',
  'run:out-of-memory',
  'run:hang',
  'help:missing-library',
  'help:garbage',
  'help:hang',
  'help:crash',
  'help:unknown-flag',
] as const;

export type FailureName = (typeof failureNames)[number];

/** What the stand-in is told, as JSON in the environment variable STAND_IN_TRTEXEC. */
export interface StandInSettings {
  /** Version that it says it is, `11.1.0` by default. */
  readonly version?: string;
  readonly fail?: FailureName;
  /** Name of the GPU that it says it sees. */
  readonly gpu?: string;
  /** As in `9.0`. */
  readonly computeCapability?: string;
  /** Takes that long for a build, and ends on SIGTERM. */
  readonly buildMs?: number;
  /** File that gets the process number of each process that it starts, and its own; one a line. */
  readonly pids?: string;
  /** File that gets the command line of each call as a line of JSON. */
  readonly calls?: string;
  /** Multiplies an output by a number, as an engine would that computes something wrong. */
  readonly perturb?: { readonly output: string; readonly factor: number };
  /** Says that every execution took that long, in place of what ONNX Runtime took here. */
  readonly computeMs?: number;
  /** Node of the graph that `build:parse-error` blames; the middle one by default. */
  readonly node?: number;
}

/** The name that settings are handed over by. */
export const settingsVariable = 'STAND_IN_TRTEXEC';

/** The environment that hands `settings` to the stand-in; merge it into a test's own. */
export function standInEnv(settings: StandInSettings): { readonly [settingsVariable]: string } {
  return { [settingsVariable]: JSON.stringify(settings) };
}

/** What `standInEnv` handed over; nothing where the variable is not set. */
export function readSettings(env: NodeJS.ProcessEnv): StandInSettings {
  return JSON.parse(env[settingsVariable] ?? '{}') as StandInSettings;
}
