/** What a field of a message is; names in capitals are messages of {@link configFields}. */
export type FieldType = 'string' | 'int' | 'float' | 'bool' | readonly string[] | `@${string}`;

/** A field: its type, and whether it may stand more than once. */
export interface FieldRule {
  readonly type: FieldType;
  readonly repeated?: true;
}

const one = (type: FieldType): FieldRule => ({ type });
const many = (type: FieldType): FieldRule => ({ type, repeated: true });

const dataTypes = ['BOOL', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64', 'FP16', 'FP32']
  .concat('FP64', 'STRING', 'BF16')
  .map((name) => `TYPE_${name}`);

const tensor = { name: one('string'), data_type: one(dataTypes), dims: many('int') };

/** Fields of config.pbtxt that a model rtc writes, or a person who changes it, may have; Triton knows some more. */
export const configFields = {
  '@ModelConfig': {
    name: one('string'),
    platform: one('string'),
    backend: one('string'),
    max_batch_size: one('int'),
    input: many('@Input'),
    output: many('@Output'),
    instance_group: many('@InstanceGroup'),
    default_model_filename: one('string'),
    cc_model_filenames: many('@StringEntry'),
    parameters: many('@ParameterEntry'),
    dynamic_batching: one('@DynamicBatching'),
    sequence_batching: one('@SequenceBatching'),
    model_transaction_policy: one('@TransactionPolicy'),
    response_cache: one('@ResponseCache'),
  },
  '@Input': { ...tensor, allow_ragged_batch: one('bool'), optional: one('bool'), is_shape_tensor: one('bool') },
  '@Output': { ...tensor, is_shape_tensor: one('bool') },
  '@InstanceGroup': {
    name: one('string'),
    kind: one(['KIND_AUTO', 'KIND_GPU', 'KIND_CPU', 'KIND_MODEL']),
    count: one('int'),
    gpus: many('int'),
    profile: many('string'),
  },
  '@StringEntry': { key: one('string'), value: one('string') },
  '@ParameterEntry': { key: one('string'), value: one('@Parameter') },
  '@Parameter': { string_value: one('string') },
  '@DynamicBatching': {
    preferred_batch_size: many('int'),
    max_queue_delay_microseconds: one('int'),
    preserve_ordering: one('bool'),
  },
  '@SequenceBatching': {
    direct: one('@Direct'),
    oldest: one('@Oldest'),
    max_sequence_idle_microseconds: one('int'),
    control_input: many('@ControlInput'),
    state: many('@State'),
    iterative_sequence: one('bool'),
  },
  '@Direct': { max_queue_delay_microseconds: one('int'), minimum_slot_utilization: one('float') },
  '@Oldest': {
    max_candidate_sequences: one('int'),
    preferred_batch_size: many('int'),
    max_queue_delay_microseconds: one('int'),
    preserve_ordering: one('bool'),
  },
  '@ControlInput': { name: one('string'), control: many('@Control') },
  '@Control': {
    kind: one(['START', 'READY', 'END', 'CORRID'].map((kind) => `CONTROL_SEQUENCE_${kind}`)),
    int32_false_true: many('int'),
    fp32_false_true: many('float'),
    bool_false_true: many('bool'),
    data_type: one(dataTypes),
  },
  '@State': {
    input_name: one('string'),
    output_name: one('string'),
    data_type: one(dataTypes),
    dims: many('int'),
    initial_state: many('@InitialState'),
    use_same_buffer_for_input_output: one('bool'),
    use_growable_memory: one('bool'),
  },
  '@InitialState': { ...tensor, zero_data: one('bool'), data_file: one('string') },
  '@TransactionPolicy': { decoupled: one('bool') },
  '@ResponseCache': { enable: one('bool') },
} as const satisfies Readonly<Record<`@${string}`, Readonly<Record<string, FieldRule>>>>;
