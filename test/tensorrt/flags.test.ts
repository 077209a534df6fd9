import { describe, expect, test } from 'vitest';
import { formatVersion } from '../../targets/tensorrt/versions.ts';
import { readTrtexecCommandLine } from '../support/trtexec-command-line.ts';
import { observed, observedVersions } from './flags-observed.ts';

describe('what trtexec was seen to accept', () => {
  test.each(
    observedVersions.map((version, column) => [formatVersion(version), version, column] as const),
  )('%s: the reader of command lines agrees', (_, version, column) => {
    const accepted = (args: readonly string[]) => readTrtexecCommandLine(['--onnx=m', ...args], version).ok;
    const read = observed.map(({ args }) => `${args.join(' ')}: ${accepted(args)}`);
    expect(read).toEqual(observed.map(({ args, accepted: cells }) => `${args.join(' ')}: ${cells[column]}`));
  });
});
