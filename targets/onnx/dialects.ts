import type { OpKind } from '../../ir/op-table.ts';
import type { Dialect } from './onnx-file.ts';

/** What the graphs of a dialect are made of. */
export interface DialectSpec {
  /** Version of ai.onnx. */
  readonly opset: number;
  readonly irVersion: number;
  /** Operator domains besides ai.onnx, each at version 1. */
  readonly domains: readonly string[];
  /** Composite operations of the IR that the dialect has an operator for: take-apart leaves them whole. */
  readonly keeps: ReadonlySet<OpKind>;
  /** What integers are summed in: f64 is exact up to 2^53, f32 up to 2^24. */
  readonly sumsIntegersIn: 'f64' | 'f32';
  /** Whether rows that something is asked of may be none. */
  readonly mayBeEmpty: boolean;
}

/** LayerNormalization and Gelu are ai.onnx operators; ONNX Runtime and TensorRT find SiLU in its two parts. */
const shared = ['layer_norm', 'silu', 'gelu'] as const;

/**
 * `portable` is what ONNX Runtime 1.20 and TensorRT 10.0 both read. Opset 21 came with IR version 10; opset 23's
 * RMSNormalization, RotaryEmbedding and Attention need ONNX Runtime 1.23 and TensorRT 10.14 and are not worth that:
 * ONNX Runtime finds the norm in its parts when it loads, and runs the parts of the other two about as fast.
 *
 * `ort` takes from ONNX Runtime's own operators those that bench/dialects.js found faster, or as fast in fewer nodes.
 * Not GroupQueryAttention: it would be a few percent faster at best, and refuses several new tokens behind a cache in a
 * batch of more than one, which the interface allows. Not MultiHeadAttention, which wants keys and values repeated for
 * every query head.
 *
 * `tensorrt` has what TensorRT's parser documents from 10.0 on: operators up to opset 20, and sums of floats, which are
 * f32 at most: a count along an axis is exact up to 2^24, which is more positions than a sequence has. No profile of ours
 * lets rows be none. What later versions have besides is in targets/tensorrt/dialect.ts.
 */
export const dialects: Readonly<Record<Dialect, DialectSpec>> = {
  portable: {
    opset: 21,
    irVersion: 10,
    domains: [],
    keeps: new Set(shared),
    sumsIntegersIn: 'f64',
    mayBeEmpty: true,
  },
  ort: {
    opset: 21,
    irVersion: 10,
    domains: ['com.microsoft'],
    keeps: new Set([...shared, 'add_rms_norm', 'rotary_lookup']),
    sumsIntegersIn: 'f64',
    mayBeEmpty: true,
  },
  tensorrt: {
    opset: 20,
    irVersion: 9,
    domains: [],
    keeps: new Set(shared),
    sumsIntegersIn: 'f32',
    mayBeEmpty: false,
  },
};
