import { array, assert, constantFrom, oneof, property, record, string } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDiagnostics } from '../../../files/format-diagnostics.ts';
import { nodeDescriber } from '../../../targets/tensorrt/trtexec/describe-node.ts';
import { diagnoseFailure } from '../../../targets/tensorrt/trtexec/diagnose-failure.ts';
import { findSign } from '../../../targets/tensorrt/trtexec/failure-signs.ts';
import { logReader } from '../../../targets/tensorrt/trtexec/log-reader.ts';
import type { ProcessEnd } from '../../../targets/tensorrt/trtexec/run-process.ts';
import { trtexecCodes } from '../../../targets/tensorrt/trtexec/trtexec-codes.ts';
import { smallModelBytes } from './small-model.ts';

const call = {
  args: ['--onnx=a'],
  version: { major: 10, minor: 16, patch: 0 },
  describeNode: nodeDescriber(smallModelBytes),
};

test.each([
  [
    'trtexec: error while loading shared libraries: libcuda.so.1: cannot open shared object file: No such file',
    'trtexec-library',
    /driver/,
  ],
  [
    'Could not load library libnvinfer.so.10: Unable to open library: libnvinfer.so.10',
    'trtexec-library',
    /LD_LIBRARY_PATH/,
  ],
  [
    'Uncaught exception detected: Unable to open library: libnvinfer_plugin.so.11 due to',
    'trtexec-library',
    /LD_LIBRARY_PATH/,
  ],
  [
    'Cuda failure at sampleDevice.cpp:120: no CUDA-capable device is detected',
    'trtexec-no-gpu',
    /CUDA_VISIBLE_DEVICES/,
  ],
  [
    'Cuda failure at sampleDevice.cpp:120: CUDA driver version is insufficient for CUDA runtime version',
    'trtexec-no-gpu',
    /newer driver/,
  ],
  ['Cannot find device ID 3!', 'trtexec-no-gpu', /nvidia-smi/],
  ['Unknown option: --fp16 ', 'trtexec-option', /trtexec --help/],
  ['Uncaught exception detected: stoi', 'trtexec-option', undefined],
  ['Specified optimization profiles must satisfy MIN<=OPT<=MAX.', 'trtexec-shapes', undefined],
  ['Static model does not take explicit shapes since the shape of inference tensors', 'trtexec-shapes', undefined],
  [
    'Error[1]: Serialization (Version tag does not match. Note: Current Version: 1)',
    'trtexec-other-engine',
    /--version-compatible/,
  ],
  [
    'Error Code 6: (incompatible device, expecting compute 8.9 got compute 9.0, please rebuild.)',
    'trtexec-other-engine',
    /--hardware-compatibility/,
  ],
  ['Magic tag does not match', 'trtexec-other-engine', /Build it again/],
  ['Failed to create ITimingCache from file timing.cache', 'trtexec-timing-cache', /Take it away/],
  ['Saving engine to file failed.', 'trtexec-disk-full', /room/],
  ['Error Code 2: OutOfMemory (Requested size was 1073741824 bytes.)', 'trtexec-out-of-memory', /--workspace/],
  ['what():  std::bad_alloc', 'trtexec-out-of-memory', /weights/],
  [
    'Could not find any implementation for node /block/layer.3/self_attn/Attention.',
    'trtexec-failed',
    /--attention parts/,
  ],
])('%s', (line, code, hint) => {
  const sign = findSign(['Engine set up failed', line, 'Failed to create engine from model or file.'], call);
  expect(sign).toMatchObject({ code, line });
  if (hint === undefined) expect(sign?.hint).toBeUndefined();
  else expect(sign?.hint).toMatch(hint);
});

test('of several signs the cause counts, whatever is said last', () => {
  const noKernel =
    'Error[10]: Could not find any implementation for node {ForeignNode[/size/Shape.out.../head/norm/Add]}.';
  expect(findSign(['Error[1]: Cuda Runtime (out of memory)', noKernel], call)?.code).toBe('trtexec-out-of-memory');
  expect(findSign([noKernel], call)?.message).toBe(
    'TensorRT has no kernel for a part of the graph: Shape in sizes of inputs (node "/size/Shape").',
  );
  const strict = { ...call, args: ['--errorOnTimingCacheMiss'] };
  expect(findSign([noKernel], strict)?.code).toBe('trtexec-timing-cache');
  expect(findSign(['Engine set up failed', 'Skipping tactic 0x0 due to exception'], call)).toBeUndefined();
});

describe('whatever is printed', () => {
  const pieces = constantFrom(
    '[11/02/2026-10:00:00] [E] ',
    '[11/02/2026-10:00:00] [I] [TRT] ',
    '&&&& RUNNING TensorRT.trtexec [TensorRT v',
    'While parsing node number 1 [Add -> "y',
    'ERROR: a:1 In function f:',
    'Could not find any implementation for node ',
    'kOPT values for profile 0 violate shape constraints: ',
    'Created engine with size: ',
    'Latency: min = 1 ms, max = ',
    '\u001b[31m',
    '\u0000',
    '8',
  );
  const line = array(oneof(pieces, string({ unit: 'binary', maxLength: 8 })), { maxLength: 6 }).map((parts) =>
    parts.join(''),
  );
  const stream = constantFrom('stdout' as const, 'stderr' as const);
  const end = constantFrom<ProcessEnd>(
    { kind: 'exited', code: 0 },
    { kind: 'exited', code: 1 },
    { kind: 'exited', code: 139 },
    { kind: 'exited', code: 255 },
    { kind: 'signaled', signal: 'SIGBUS' },
    { kind: 'timeout' },
    { kind: 'aborted' },
    { kind: 'not-started', code: 'E2BIG', message: '' },
  );

  test('there is one error with a code of ours, short enough to read, without control characters', () => {
    assert(
      property(array(record({ stream, line }), { maxLength: 30 }), end, (lines, how) => {
        const reader = logReader();
        for (const { stream: from, line: text } of lines) reader.take(from, text);
        const summary = reader.summary();
        const failure = { ...call, path: '/opt/trtexec', folder: '/tmp', log: undefined, end: how, summary };
        const found = diagnoseFailure({ ...failure, phase: undefined, timeoutMs: 10 });
        expect(found.severity).toBe('error');
        expect([...trtexecCodes, 'interrupted']).toContain(found.code);
        const shown = formatDiagnostics([found]);
        expect(shown.split('\n').length).toBeLessThan(90);
        expect(shown.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
      }),
      { numRuns: 400 },
    );
  });
});
