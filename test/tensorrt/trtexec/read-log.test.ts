import { describe, expect, test } from 'vitest';
import { logReader } from '../../../targets/tensorrt/trtexec/log-reader.ts';
import { factOf, readLogLine, versionOfNumber } from '../../../targets/tensorrt/trtexec/read-log.ts';
import { formatVersion } from '../../../targets/tensorrt/versions.ts';
import { readFixture } from './read-fixture.ts';

test.each([
  ['8601', '8.6.1'],
  ['8003', '8.0.3'],
  ['9300', '9.3.0'],
  ['100001', '10.0.1'],
  ['100900', '10.9.0'],
  ['101303', '10.13.3'],
  ['101600', '10.16.0'],
  ['110100', '11.1.0'],
  ['120345', '12.3.45'],
])('v%s is %s', (digits, version) => {
  expect(formatVersion(versionOfNumber(digits)!)).toBe(version);
  for (const build of ['', ' [b72]']) {
    const line = `&&&& RUNNING TensorRT.trtexec [TensorRT v${digits}]${build} # /opt/trtexec --onnx=a&&&& b.onnx`;
    expect(readLogLine(line)).toEqual({ kind: 'banner', state: 'RUNNING', version: versionOfNumber(digits) });
  }
});

test.each([undefined, '', '12', '86a1', '12345678'])('%s is no version', (digits) => {
  expect(versionOfNumber(digits)).toBeUndefined();
});

test.each([
  [
    '[11/02/2026-10:00:00] [I] Engine built in 1 sec.',
    { kind: 'message', severity: 'I', text: 'Engine built in 1 sec.' },
  ],
  ['[11/02/2026-10:00:00] [W] [TRT] careful', { kind: 'message', severity: 'W', text: 'careful' }],
  ['[11/02/2026-10:00:00] [I]', { kind: 'message', severity: 'I', text: '' }],
  ['[11/02/2026-10:00:00] [F] ', { kind: 'message', severity: 'F', text: '' }],
  ['[6] Assertion failed', { kind: 'bare', text: '[6] Assertion failed' }],
  ['[11/02/2026-10:00:00] [X] no such tag', { kind: 'bare', text: '[11/02/2026-10:00:00] [X] no such tag' }],
  ['&&&& ', { kind: 'bare', text: '&&&& ' }],
  ['&&&& FAILED TensorRT.trtexec', { kind: 'banner', state: 'FAILED', version: undefined }],
  ['', { kind: 'bare', text: '' }],
])('reads %j', (line, expected) => {
  expect(readLogLine(line)).toEqual(expected);
});

test('numbers that are none are no facts', () => {
  expect(factOf('Created engine with size: -nan MiB')).toBeUndefined();
  expect(factOf('Throughput: inf qps')).toBeUndefined();
  expect(factOf('Latency: min = 1 ms, max = nan ms')).toBeUndefined();
  expect(factOf('Created engine with size: 1e-05 MiB')).toEqual({ kind: 'engine-bytes', bytes: 10 });
});

describe('logs of builds', () => {
  test.each([
    ['build-8.6.1', '8.6.1', 'NVIDIA A10', '8.6', undefined, 8.12],
    ['build-10.0.1', '10.0.1', 'NVIDIA A100-SXM4-80GB', '8.0', 1.5 * 2 ** 20, 40.0213],
    ['build-11.1.0', '11.1.0', 'NVIDIA H100 80GB HBM3', '9.0', 2467.25 * 2 ** 20, 39.9],
  ])('%s', (name, version, gpu, computeCapability, engineBytes, buildSeconds) => {
    const { reader, phases } = readFixture(name);
    const summary = reader.summary();
    expect(formatVersion(summary.version!)).toBe(version);
    expect(summary).toMatchObject({
      gpu,
      computeCapability,
      engineBytes,
      buildSeconds,
      passed: true,
      parserErrors: [],
    });
    expect(phases).toEqual(['starting', 'parsing', 'building', 'finished']);
  });

  test('warnings that the user should hear of; not those about every tensor', () => {
    expect(readFixture('build-10.0.1').reader.summary().warnings).toEqual([
      'optShapes is being broadcasted to maxShapes for tensor depth',
    ]);
    expect(readFixture('build-11.1.0').reader.summary().warnings).toEqual([]);
  });
});

test('the log of a run: figures by name, percentiles as asked for', () => {
  const { reader, phases } = readFixture('run-10.16.0');
  const { performance, engineBytes, warnings } = reader.summary();
  expect(phases).toEqual(['starting', 'loading', 'running', 'finished']);
  expect(engineBytes).toBe(12.5 * 2 ** 20);
  expect(performance).toEqual({
    throughput: 666.2,
    latency: { min: 1.25, max: 2.5, mean: 1.5, median: 1.4375, percentiles: { 90: 1.75, 95: 1.875, 99: 2.25 } },
    enqueue: { min: 0.5, max: 1, mean: 0.625, median: 0.5625, percentiles: { 90: 0.75, 95: 0.75, 99: 0.875 } },
    h2d: { min: 0.03125, max: 0.125, mean: 0.0625, median: 0.0625, percentiles: { '99.5': 1e-5 } },
    gpuCompute: { min: 1.125, max: 2.25, mean: 1.375, median: 1.3125, percentiles: { 90: 1.5, 95: 1.625, 99: 2 } },
    d2h: { min: 0.0078125, max: 0.0625, mean: 0.015625, median: 0.015625, percentiles: { 90: 0.03125 } },
  });
  expect(warnings).toEqual(['* GPU compute time is unstable, with coefficient of variance = 9.1%.']);
});

test("the parser's errors, in the forms of 8.6 and 11.0; what a node's text holds is none", () => {
  expect(readFixture('parser-8.6.1').reader.summary().parserErrors).toEqual([
    {
      node: { number: 3, opType: 'Attention', output: 'y:0' },
      place: 'builtin_op_importers.cpp:5404',
      function: 'importFallbackPluginImporter',
      text: '[8] Assertion failed: creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
    },
  ]);
  expect(readFixture('parser-11.0.0').reader.summary().parserErrors).toEqual([
    {
      node: { number: 3, opType: 'Attention', output: '/block/layer.0/self_attn/attended' },
      place: 'onnxOpCheckers.cpp:838',
      function: 'checkAttention',
      text: '[9] node.output_size() == 1: Attention has one output\nonly',
    },
    {
      node: { number: 12, opType: 'RMSNormalization', output: '/block/norm' },
      place: 'onnxOpCheckers.cpp:1012',
      function: 'checkRMSNormalization',
      text: '[11] Unsupported type',
    },
    { node: undefined, place: 'ModelImporter.cpp:700', function: 'importModel', text: '[5] about no node' },
  ]);
});

test('a log of any length leaves the first and the last errors, and texts that can be shown', () => {
  const reader = logReader();
  for (let i = 0; i < 5000; i++) reader.take('stderr', `[11/02/2026-10:00:00] [E] error ${i}`);
  for (let i = 0; i < 5000; i++) reader.take('stdout', `[11/02/2026-10:00:00] [I] line ${i}`);
  reader.take('stderr', `[11/02/2026-10:00:00] [E] ${'x'.repeat(100_000)}`);
  const { errors, stdoutTail, stderrTail } = reader.summary();
  expect(errors).toHaveLength(80);
  expect(errors[0]).toBe('error 0');
  expect(errors[39]).toBe('error 39');
  expect(errors[40]).toBe('error 4961');
  expect(errors.at(-1)).toHaveLength(2001);
  expect(stdoutTail).toHaveLength(20);
  expect(stdoutTail.at(-1)).toContain('line 4999');
  expect(stderrTail).toHaveLength(20);
});
