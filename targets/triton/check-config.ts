import { configFields, type FieldRule, type FieldType } from './config-fields.ts';
import { PbtxtError, parsePbtxt, type TextField, type TextValue } from './parse-pbtxt.ts';

/** What a config has to fit, where it is known. */
export interface ConfigSetting {
  /** Name of the model's folder. */
  readonly folder?: string;
  /** Profiles that the plan has. */
  readonly profiles?: number;
}

/**
 * What is wrong with the text of a config.pbtxt, all of it: what protoc would refuse (names, types, two of a choice), and
 * what Triton refuses, or takes and then serves badly. Empty when all is well.
 */
export function configProblems(text: string, setting: ConfigSetting = {}): readonly string[] {
  try {
    const config = parsePbtxt(text);
    const wrong = fieldProblems('@ModelConfig', config, '');
    return wrong.length > 0 ? wrong : ruleProblems(config, setting);
  } catch (error) {
    if (error instanceof PbtxtError) return [error.message];
    throw error;
  }
}

/** Fields that nobody knows, values of another type, and fields given twice. */
function fieldProblems(message: string, fields: readonly TextField[], at: string): readonly string[] {
  const rules = configFields[message as keyof typeof configFields] as Readonly<Record<string, FieldRule>>;
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const { name, value, line } of fields) {
    const rule = Object.hasOwn(rules, name) ? rules[name]! : undefined;
    const where = `line ${line}: ${at}${name}`;
    if (rule === undefined) problems.push(`${where} is no field`);
    else {
      if (seen.has(name) && !rule.repeated) problems.push(`${where} is given twice`);
      if (!hasType(value, rule.type)) problems.push(`${where} is not ${typeName(rule.type)}`);
      else if (value.kind === 'message')
        problems.push(...fieldProblems(rule.type as string, value.fields, `${at}${name}.`));
    }
    seen.add(name);
  }
  return problems;
}

function hasType(value: TextValue, type: FieldType): boolean {
  switch (type) {
    case 'string':
      return value.kind === 'string';
    case 'int':
      return value.kind === 'number' && Number.isInteger(value.number);
    case 'float':
      return value.kind === 'number';
    case 'bool':
      return value.kind === 'word' && (value.word === 'true' || value.word === 'false');
    default:
      return typeof type === 'string' ? value.kind === 'message' : value.kind === 'word' && type.includes(value.word);
  }
}

function typeName(type: FieldType): string {
  if (typeof type !== 'string') return `one of ${type.join(', ')}`;
  const plain = { string: 'a string', int: 'a whole number', float: 'a number', bool: 'true or false' } as const;
  return type in plain ? plain[type as keyof typeof plain] : 'a message';
}

/** A message as a reader wants it. */
interface Reader {
  readonly numbers: (field: string) => readonly number[];
  readonly number: (field: string) => number | undefined;
  readonly text: (field: string) => string | undefined;
  readonly isTrue: (field: string) => boolean;
  readonly has: (field: string) => boolean;
  readonly count: (field: string) => number;
  readonly messages: (field: string) => readonly Reader[];
}

function reader(fields: readonly TextField[]): Reader {
  const values = (field: string) => fields.filter(({ name }) => name === field).map(({ value }) => value);
  const numbers = (field: string) => values(field).flatMap((value) => (value.kind === 'number' ? [value.number] : []));
  const texts = (field: string) =>
    values(field).flatMap((value) =>
      value.kind === 'string' ? [value.text] : value.kind === 'word' ? [value.word] : [],
    );
  return {
    numbers,
    number: (field) => numbers(field)[0],
    text: (field) => texts(field)[0],
    isTrue: (field) => texts(field)[0] === 'true',
    has: (field) => values(field).length > 0,
    count: (field) => values(field).length,
    messages: (field) => values(field).flatMap((value) => (value.kind === 'message' ? [reader(value.fields)] : [])),
  };
}

/** What the types do not say. */
function ruleProblems(fields: readonly TextField[], { folder, profiles }: ConfigSetting): readonly string[] {
  const config = reader(fields);
  const problems: string[] = [];
  const expect = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem);
  };
  const name = config.text('name');
  if (folder !== undefined && name !== undefined)
    expect(name === folder, `name is "${name}", and the folder is called "${folder}"`);
  expect(config.has('backend') || config.has('platform'), 'there is no backend');
  const batch = config.number('max_batch_size') ?? 0;
  expect(batch >= 0, `max_batch_size is ${batch}`);

  const [sequences] = config.messages('sequence_batching');
  const [dynamic] = config.messages('dynamic_batching');
  expect(!(sequences && dynamic), 'dynamic_batching and sequence_batching exclude each other');
  const decoupled = config.messages('model_transaction_policy').some((policy) => policy.isTrue('decoupled'));
  if (config.messages('response_cache').some((cache) => cache.isTrue('enable')))
    expect(
      !sequences && !decoupled,
      'there is no response cache with sequences, or where a request has many responses',
    );
  for (const batcher of [dynamic, ...(sequences?.messages('oldest') ?? [])]) {
    for (const size of batcher?.numbers('preferred_batch_size') ?? [])
      expect(size >= 1 && size <= batch, `preferred_batch_size ${size} is not within max_batch_size ${batch}`);
  }
  if (sequences) problems.push(...sequenceProblems(sequences, config, batch));
  problems.push(...tensorProblems(config, sequences?.isTrue('iterative_sequence') ?? false));
  for (const group of config.messages('instance_group')) {
    expect((group.number('count') ?? 1) >= 1, 'an instance_group has no instance');
    if (group.text('kind') === 'KIND_CPU') expect(!group.has('gpus'), 'instances of KIND_CPU have no gpus');
  }
  const named = fields
    .filter((field) => field.name === 'instance_group')
    .flatMap(({ value }) => (value.kind === 'message' ? value.fields : []))
    .flatMap((field) => (field.name === 'profile' && field.value.kind === 'string' ? [field.value.text] : []));
  for (const profile of named)
    expect(
      /^\d+$/.test(profile) && Number(profile) < (profiles ?? Number.POSITIVE_INFINITY),
      `the plan has no profile "${profile}"`,
    );
  return problems;
}

function sequenceProblems(sequences: Reader, config: Reader, batch: number): readonly string[] {
  const problems: string[] = [];
  const expect = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem);
  };
  expect(!(sequences.has('oldest') && sequences.has('direct')), 'oldest and direct exclude each other');
  for (const oldest of sequences.messages('oldest')) {
    const candidates = oldest.number('max_candidate_sequences') ?? 0;
    expect(candidates >= batch, `${candidates} sequences are in flight, too few for a batch of ${batch}`);
  }
  if (sequences.isTrue('iterative_sequence'))
    expect(config.text('backend') === 'python', 'of stock backends only python puts requests back');
  const kinds = new Set<string>();
  for (const control of sequences.messages('control_input').flatMap((input) => input.messages('control'))) {
    const kind = control.text('kind') ?? 'CONTROL_SEQUENCE_START';
    expect(!kinds.has(kind), `${kind} is given to two inputs`);
    kinds.add(kind);
    if (kind === 'CONTROL_SEQUENCE_CORRID') {
      expect(
        /^TYPE_(U?INT32|U?INT64|STRING)$/.test(control.text('data_type') ?? ''),
        `${kind} is a whole number or a string`,
      );
      continue;
    }
    const given = ['int32_false_true', 'fp32_false_true', 'bool_false_true'].filter((field) => control.has(field));
    expect(given.length === 1, `${kind} has ${given.length} kinds of values`);
    const count = control.count(given[0] ?? '');
    expect(count === 2, `${kind} has ${count} values, for false and true there are two`);
  }
  for (const state of sequences.messages('state'))
    expect(state.messages('initial_state').length <= 1, `the state "${state.text('input_name')}" begins in two ways`);
  return problems;
}

function tensorProblems(config: Reader, iterative: boolean): readonly string[] {
  const problems: string[] = [];
  for (const side of ['input', 'output'] as const) {
    const names = new Set<string>();
    const tensors = config.messages(side);
    if (tensors.length === 0) problems.push(`there is no ${side}`);
    for (const tensor of tensors) {
      const name = tensor.text('name') ?? '';
      if (name === '') problems.push(`an ${side} has no name`);
      if (names.has(name)) problems.push(`two ${side}s are called "${name}"`);
      names.add(name);
      if (!tensor.has('data_type')) problems.push(`the ${side} "${name}" has no data_type`);
      const dims = tensor.numbers('dims');
      if (dims.length === 0) problems.push(`the ${side} "${name}" has no dims`);
      if (dims.some((dim) => dim !== -1 && dim < 1)) problems.push(`the ${side} "${name}" has dims ${dims.join(', ')}`);
      if (side === 'input' && iterative && tensor.isTrue('optional'))
        problems.push(
          `requests with "${name}" and without would never share a step: parameters do not keep them apart`,
        );
      if (side === 'input' && iterative && dims.includes(-1) && !tensor.isTrue('allow_ragged_batch'))
        problems.push(
          `requests with another size of "${name}" would never share a step: allow_ragged_batch is missing`,
        );
    }
  }
  return problems;
}
