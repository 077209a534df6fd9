import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { parsePbtxt, type TextField } from '../../targets/triton/parse-pbtxt.ts';

/** A request as a client sends it. */
export interface ClientRequest {
  readonly input_ids: readonly number[];
  readonly parameters?: Readonly<Record<string, number | boolean | string>>;
  /** Execute that it comes before. */
  readonly arrives?: number;
  /** Tokens after which the client goes away. */
  readonly cancel_after?: number;
}

/** What the harness is to do; see test/triton/harness.py. */
export interface Scenario {
  readonly requests: readonly ClientRequest[];
  readonly seed: number;
  readonly max_candidate_sequences: number;
  readonly max_batch_size: number;
  /** Whether executes get some of those that wait, by chance; else as many as there may be. */
  readonly ragged?: boolean;
  /** Fewest entries of lists, as TensorRT's profiles want them. */
  readonly least?: 0 | 1;
  /** A call of the graph that fails. */
  readonly break_at?: number;
  /** Parameters of config.pbtxt, changed. */
  readonly parameters?: Readonly<Record<string, string>>;
}

/** What came of it. */
export interface Served {
  readonly clients: readonly {
    readonly tokens: readonly number[];
    readonly exits: readonly number[];
    readonly error: string | null;
    readonly cancelled: boolean;
  }[];
  /** Requests of every execute. */
  readonly batches: readonly number[];
  /** Calls of the graph, and their rows. */
  readonly steps: number;
  readonly rows: number;
  /** Pages that nobody gave back. */
  readonly used_pages: number;
  /** Runs of each profile of each plan, with the stand-in for TensorRT. */
  readonly launches?: readonly number[];
}

/** Runs scenarios on the repository that a package is, one after the other in one process. */
export async function runHarness(
  python: string,
  folder: string,
  scenarios: readonly Scenario[],
  more: { readonly stand_in_tensorrt?: boolean } = {},
): Promise<readonly Served[]> {
  const { name } = JSON.parse(await readFile(join(folder, 'rtc.json'), 'utf8')) as { readonly name: string };
  const config = parsePbtxt(await readFile(join(folder, name, 'config.pbtxt'), 'utf8'));
  const input = {
    ...more,
    version_folder: join(folder, name, '1'),
    scenarios: scenarios.map(({ parameters = {}, ...scenario }) => ({
      ...scenario,
      config: modelConfig(config, parameters),
    })),
  };
  const { stdout, stderr, exitCode } = await execa(python, [join(import.meta.dirname, 'harness.py')], {
    input: JSON.stringify(input),
    reject: false,
  });
  expect(exitCode, stderr).toBe(0);
  return JSON.parse(stdout) as readonly Served[];
}

/** The config as Triton hands it to a Python model, as far as the driver reads it. */
function modelConfig(config: readonly TextField[], changed: Readonly<Record<string, string>>): object {
  const parameters: Record<string, { string_value: string }> = {};
  for (const { name, value } of config) {
    if (name !== 'parameters' || value.kind !== 'message') continue;
    const [key, string] = value.fields.map((field) => field.value);
    const text = string?.kind === 'message' ? string.fields[0]!.value : undefined;
    if (key?.kind !== 'string' || text?.kind !== 'string') return expect.fail('a parameter without a value');
    parameters[key.text] = { string_value: changed[key.text] ?? text.text };
  }
  for (const name of Object.keys(changed)) expect(parameters).toHaveProperty(name);
  return { parameters, sequence_batching: { max_sequence_idle_microseconds: '60000000' } };
}
