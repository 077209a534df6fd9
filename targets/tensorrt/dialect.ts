import { failure, type Result, success } from '../../files/diagnostics.ts';
import { type DialectSpec, dialects } from '../onnx/dialects.ts';
import { atLeast, formatVersion, type TensorrtVersion } from './versions.ts';

/** Whether graphs say Attention, or what it is made of. */
export type AttentionForm = 'native' | 'parts';

/** What graphs for a version of TensorRT are made of. */
export interface TensorrtDialect {
  readonly spec: DialectSpec;
  readonly attention: AttentionForm;
}

/** The first version whose parser has Attention of opset 23. */
const attentionSince = { major: 10, minor: 14 } as const;

/**
 * The dialect of a version: operators of opset 20, which is what 10.0 documents, and from 10.14 on Attention of opset 23
 * where it is asked for. `auto` asks for it in 16 bits, since TensorRT has no fused kernel for f32.
 *
 * RMSNormalization, RotaryEmbedding and TensorScatter are not used: the parser takes the first apart itself, the second
 * gains nothing over its parts, and the third wants caches bound in place.
 */
export function tensorrtDialect(
  version: TensorrtVersion,
  precision: 'f32' | 'f16' | 'bf16',
  attention: AttentionForm | 'auto',
): Result<TensorrtDialect> {
  const has = atLeast(version, attentionSince.major, attentionSince.minor);
  if (attention === 'native' && !has) {
    const since = formatVersion(attentionSince);
    return failure({
      severity: 'error',
      code: 'no-native-attention',
      message: `TensorRT ${formatVersion(version)} has no Attention: its parser reads it from ${since} on.`,
      hint: `Write it in parts with --attention parts, or for a later version with --tensorrt-version ${since}.`,
    });
  }
  const native = attention === 'native' || (attention === 'auto' && has && precision !== 'f32');
  const parts = dialects.tensorrt;
  if (!native) return success({ spec: parts, attention: 'parts' });
  const spec = { ...parts, opset: 23, irVersion: 11, keeps: new Set([...parts.keeps, 'attention' as const]) };
  return success({ spec, attention: 'native' });
}
