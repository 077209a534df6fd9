import type { DecoderSpec } from '../../compiler/architectures/decoder-spec.ts';
import { readDecoderSpec } from '../../compiler/architectures/read-decoder-spec.ts';
import type { Result } from '../../files/diagnostics.ts';
import { parseJson } from '../../files/json.ts';
import type { DType } from '../../ir/dtype.ts';

/** The decoder of a config given as a value, beside a checkpoint that has the tensors of `stored`. */
export function readSpec(config: object, stored: Readonly<Record<string, DType>> = {}): Result<DecoderSpec> {
  const document = parseJson(JSON.stringify(config), 'config.json');
  return document.ok ? readDecoderSpec(document.value, { dtypeOf: (name) => stored[name] }) : document;
}

/** As {@link readSpec}, of a config that must be fine, without a warning. */
export function specOf(config: object, stored: Readonly<Record<string, DType>> = {}): DecoderSpec {
  const result = readSpec(config, stored);
  if (!result.ok || result.diagnostics.length > 0) throw new Error(JSON.stringify(result.diagnostics));
  return result.value;
}
