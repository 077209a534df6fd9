/** Element types of Triton's that rtc's models have at their edges. */
export type TritonType = 'TYPE_INT64' | 'TYPE_INT32';

/** An input or output; the first axis, the batch, is left out of `dims`, and -1 is any size. */
export interface TritonTensor {
  readonly name: string;
  readonly dataType: TritonType;
  readonly dims: readonly number[];
}

export interface TritonInput extends TritonTensor {
  /** Requests with other sizes of it may share a batch. */
  readonly ragged?: boolean;
}

/** What config.pbtxt says, as far as rtc writes it: a model of the Python backend with iterative sequences. */
export interface TritonModelConfig {
  readonly name: string;
  /** Requests that one execute may get. */
  readonly maxBatchSize: number;
  /** Sequences in flight; others wait in Triton. */
  readonly maxCandidates: number;
  /** After which Triton takes a sequence for dead that was not rescheduled. */
  readonly idleMicroseconds: number;
  readonly kind: 'KIND_CPU' | 'KIND_GPU';
  readonly inputs: readonly TritonInput[];
  readonly outputs: readonly TritonTensor[];
  /** What the driver reads; the words are its own. */
  readonly parameters: Readonly<Record<string, DriverParameter>>;
}

export interface DriverParameter {
  readonly value: string;
  /** What it is, in a comment above it. */
  readonly what: string;
}

/**
 * config.pbtxt: the text form of Triton's ModelConfig. Sequences are iterative: a request is put back after each step,
 * and shares the next one with whoever is there then, at whatever depth.
 */
export function formatModelConfig(config: TritonModelConfig): string {
  const { name, maxBatchSize, maxCandidates, idleMicroseconds, kind, inputs, outputs, parameters } = config;
  return `${[
    `# Written by rtc compile --target triton. Whoever changes it keeps max_candidate_sequences and spans in step.`,
    `name: ${quoted(name)}`,
    'backend: "python"',
    `max_batch_size: ${maxBatchSize}`,
    ...inputs.flatMap((input) => tensorLines('input', input, input.ragged ? ['allow_ragged_batch: true'] : [])),
    ...outputs.flatMap((output) => tensorLines('output', output, [])),
    '# A request runs one step, is put back, and shares the next one with whoever is there then.',
    'sequence_batching {',
    '  iterative_sequence: true',
    `  max_sequence_idle_microseconds: ${idleMicroseconds}`,
    '  oldest {',
    `    max_candidate_sequences: ${maxCandidates}`,
    '  }',
    '}',
    '# A response for every token.',
    'model_transaction_policy {',
    '  decoupled: true',
    '}',
    '# Instances share neither pages nor steps.',
    'instance_group {',
    '  count: 1',
    `  kind: ${kind}`,
    '}',
    ...Object.entries(parameters).flatMap(([key, { value, what }]) => [
      `# ${what}`,
      'parameters {',
      `  key: ${quoted(key)}`,
      '  value {',
      `    string_value: ${quoted(value)}`,
      '  }',
      '}',
    ]),
  ].join('\n')}\n`;
}

function tensorLines(field: string, { name, dataType, dims }: TritonTensor, more: readonly string[]): string[] {
  return [
    `${field} {`,
    `  name: ${quoted(name)}`,
    `  data_type: ${dataType}`,
    `  dims: [${dims.join(', ')}]`,
    ...more.map((line) => `  ${line}`),
    '}',
  ];
}

/** A string of protobuf's text form; names and numbers that rtc writes need no escapes but these. */
function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}
