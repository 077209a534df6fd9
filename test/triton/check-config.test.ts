import { execa } from 'execa';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { configProblems } from '../../targets/triton/check-config.ts';
import { driverConfig, type ServingPolicy } from '../../targets/triton/driver-config.ts';
import { formatModelConfig } from '../../targets/triton/model-config.ts';
import { PbtxtError, parsePbtxt } from '../../targets/triton/parse-pbtxt.ts';

const policy: ServingPolicy = { maxRows: 16, smallRows: 4, maxContext: 512, prefillChunk: 128 };
const usual = formatModelConfig(driverConfig({ name: 'kjv', policy, pageSize: 64, onGpu: false }));

const policies = fc.record({
  name: fc.stringMatching(/^[A-Za-z0-9._-]{1,20}$/),
  policy: fc.record({
    maxRows: fc.integer({ min: 1, max: 65_536 }),
    smallRows: fc.integer({ min: 1, max: 8 }),
    maxContext: fc.integer({ min: 1, max: 2 ** 24 }),
    prefillChunk: fc.integer({ min: 1, max: 2 ** 20 }),
  }),
  pageSize: fc.integer({ min: 1, max: 8 }).map((n) => 16 * n),
  onGpu: fc.boolean(),
});

test('every config that is written is sound', () => {
  fc.assert(
    fc.property(policies, (facts) => {
      expect(configProblems(formatModelConfig(driverConfig(facts)), { folder: facts.name })).toEqual([]);
    }),
    { numRuns: 200 },
  );
});

test('there are pages for as many sequences as may be in flight, at their longest', () => {
  fc.assert(
    fc.property(policies, ({ policy, pageSize, ...facts }) => {
      const { parameters, maxCandidates, maxBatchSize } = driverConfig({ ...facts, policy, pageSize });
      const spans = Number(parameters.spans!.value);
      expect(spans * pageSize).toBeGreaterThanOrEqual(maxCandidates * policy.maxContext);
      expect(spans).toBeLessThan(maxCandidates * (policy.maxContext / pageSize + 1));
      expect(maxBatchSize).toBe(maxCandidates);
    }),
  );
});

/** A config in which one thing is wrong, and what is said of it. */
const wrong: readonly (readonly [string, (text: string) => string, string])[] = [
  ['a field that there is not', (t) => t.replace('backend:', 'backends:'), 'backends is no field'],
  ['a field twice', (t) => `${t}\nmax_batch_size: 3`, 'max_batch_size is given twice'],
  ['a word for a number', (t) => t.replace('max_batch_size: 16', 'max_batch_size: many'), 'is not a whole number'],
  ['a number for a string', (t) => t.replace('string_value: "16"', 'string_value: 16'), 'is not a string'],
  ['a type that there is not', (t) => t.replace('TYPE_INT32', 'TYPE_INTEGER'), 'is not one of'],
  ['no end', (t) => t.slice(0, t.lastIndexOf('}')), 'the text ends too early'],
  ['two schedulers', (t) => `${t}dynamic_batching { }`, 'exclude each other'],
  ['two strategies', (t) => t.replace('oldest {', 'direct { }\n  oldest {'), 'oldest and direct exclude each other'],
  ['fewer sequences than rows', (t) => t.replace('sequences: 16', 'sequences: 15'), 'too few for a batch of 16'],
  ['a response cache', (t) => `${t}response_cache { enable: true }`, 'no response cache'],
  [
    'a size beyond the batch',
    (t) => t.replace('oldest {', 'oldest { preferred_batch_size: [8, 17]'),
    '17 is not within',
  ],
  ['prompts of one length', (t) => t.replace('  allow_ragged_batch: true\n', ''), 'allow_ragged_batch is missing'],
  ['an input that some give', (t) => t.replace('  dims: [-1]', '  dims: [-1]\n  optional: true'), 'never share a step'],
  ['a backend that puts nothing back', (t) => t.replace('"python"', '"tensorrt"'), 'only python puts requests back'],
  ['another name', (t) => t.replace('"kjv"', '"other"'), 'the folder is called "kjv"'],
  ['a tensor twice', (t) => t.replace('"exit_loop"', '"token"'), 'two outputs are called "token"'],
  ['no dims', (t) => t.replace('  dims: [-1]\n', ''), 'has no dims'],
  ['a profile beyond the plan', (t) => t.replace('  count: 1', '  count: 1\n  profile: ["0", "2"]'), 'no profile "2"'],
  ['GPUs for a processor', (t) => t.replace('  count: 1', '  count: 1\n  gpus: [0]'), 'have no gpus'],
  [
    'a control of one value',
    (t) => t.replace('oldest {', control('kind: CONTROL_SEQUENCE_START int32_false_true: [1]')),
    'for false and true there are two',
  ],
  [
    'a correlation id of a wrong type',
    (t) => t.replace('oldest {', control('kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32')),
    'is a whole number or a string',
  ],
  [
    'a state that begins twice',
    (t) =>
      t.replace(
        'oldest {',
        'state { input_name: "a" output_name: "b" data_type: TYPE_FP32 dims: 1\n' +
          'initial_state { zero_data: true } initial_state { zero_data: true } }\n  oldest {',
      ),
    'begins in two ways',
  ],
];

function control(text: string): string {
  return `control_input { name: "c" control { ${text} } }\n  oldest {`;
}

describe('what is wrong is found, and nothing else', () => {
  test.each(wrong)('%s', (_, change, expected) => {
    const text = change(usual);
    expect(text).not.toBe(usual);
    const problems = configProblems(text, { folder: 'kjv', profiles: 2 });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
  });
});

test('the text form is read as it is written: comments, lists, strings with quotes', () => {
  const fields = parsePbtxt('a: "x \\"#\\" \\\\" # a comment\nb { c: [1, -2] d: TRUE_WORD; e: 0.5 }');
  expect(fields).toEqual([
    { name: 'a', line: 1, value: { kind: 'string', text: 'x "#" \\' } },
    {
      name: 'b',
      line: 2,
      value: {
        kind: 'message',
        fields: [
          { name: 'c', line: 2, value: { kind: 'number', number: 1 } },
          { name: 'c', line: 2, value: { kind: 'number', number: -2 } },
          { name: 'd', line: 2, value: { kind: 'word', word: 'TRUE_WORD' } },
          { name: 'e', line: 2, value: { kind: 'number', number: 0.5 } },
        ],
      },
    },
  ]);
  for (const text of ['a', 'a: }', 'a: [1 2]', 'a: "x', '1: 2', 'a { b: 1', 'a: ?']) {
    expect(() => parsePbtxt(text), text).toThrow(PbtxtError);
  }
});

// The file is NVIDIA's (triton-inference-server/common, protobuf/model_config.proto) and not part of this repository.
const proto = process.env.RTC_MODEL_CONFIG_PROTO;

test('protoc takes it, and refuses what is no config', async ({ skip }) => {
  if (proto === undefined) return skip('RTC_MODEL_CONFIG_PROTO does not name a model_config.proto');
  const { failed } = await execa('protoc', ['--version'], { reject: false });
  if (failed) return skip('there is no protoc');
  const encode = async (text: string) => {
    const folder = proto.slice(0, proto.lastIndexOf('/'));
    const { exitCode } = await execa('protoc', [`-I${folder}`, '--encode=inference.ModelConfig', proto], {
      input: text,
      reject: false,
      encoding: 'buffer',
    });
    return exitCode;
  };
  expect(await encode(usual)).toBe(0);
  expect(await encode(usual.replace('backend:', 'backends:'))).toBe(1);
});
