import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  canonicalJson,
  type PlanParts,
  planKey,
  planPartsSchema,
} from '../../../compiler/tensorrt/plan-cache/plan-parts.ts';
import { exampleParts, hashOf } from './example-parts.ts';

describe('the key of an engine', () => {
  test('is the SHA-256 of its parts as JSON, names in order and no spaces', () => {
    const text =
      '{"argumentFiles":{},"arguments":["--onnx=step.onnx","--saveEngine=step.all.plan","--stronglyTyped",' +
      '"--builderOptimizationLevel=3"],"computeCapability":"9.0","driver":"580.10.2","format":1,' +
      `"gpu":"NVIDIA Example 80GB","graph":"${hashOf('graph')}","tensorrt":"10.16.0",` +
      `"weights":{"model.safetensors":"${hashOf('weights')}"}}`;
    expect(canonicalJson(exampleParts())).toBe(text);
    expect(planKey(exampleParts())).toBe(createHash('sha256').update(text).digest('hex'));
  });

  const changes: Readonly<Record<keyof PlanParts, Partial<Record<keyof PlanParts, unknown>>>> = {
    format: { format: 2 },
    graph: { graph: hashOf('another graph') },
    weights: { weights: { 'model.safetensors': hashOf('other weights') } },
    arguments: { arguments: exampleParts().arguments.toReversed() },
    argumentFiles: { argumentFiles: { 'plugin.so': hashOf('plugin') } },
    tensorrt: { tensorrt: '10.16.1' },
    gpu: { gpu: 'NVIDIA Example 40GB' },
    computeCapability: { computeCapability: '8.9' },
    driver: { driver: '580.10.3' },
    timingCache: { timingCache: hashOf('timings') },
  };

  test.each(Object.entries(changes))('is another one with another %s', (_, change) => {
    expect(planKey({ ...exampleParts(), ...change } as PlanParts)).not.toBe(planKey(exampleParts()));
  });

  test('leaves out no part that the schema has', () => {
    expect(Object.keys(changes).sort()).toEqual(Object.keys(planPartsSchema.shape).sort());
  });
});

test('canonical JSON is JSON, and the same for equal values only', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      expect(JSON.parse(canonicalJson(a))).toEqual(JSON.parse(JSON.stringify(a)));
      const reversed = JSON.parse(canonicalJson(a), (_, value) =>
        typeof value === 'object' && value !== null && !Array.isArray(value)
          ? Object.fromEntries(Object.entries(value).reverse())
          : value,
      );
      expect(canonicalJson(reversed)).toBe(canonicalJson(a));
      let equal = true;
      try {
        expect(JSON.parse(JSON.stringify(b))).toEqual(JSON.parse(JSON.stringify(a)));
      } catch {
        equal = false;
      }
      expect(canonicalJson(a) === canonicalJson(b)).toBe(equal);
    }),
  );
});
