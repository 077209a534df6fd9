import { posix } from 'node:path';
import { type PackageManifest, propagateGraphName, stepGraphName } from '../../files/manifest.ts';
import { invariant } from '../../ir/invariant.ts';

/** What of rtc.json, and beside it, the driver has to know. */
export interface DriverFacts {
  readonly manifest: Pick<PackageManifest, 'recursion' | 'cache' | 'precision' | 'exits' | 'graphs'>;
  /** Positions of a sequence. */
  readonly maxContext: number;
  /** Tokens that end a sequence. */
  readonly endTokens: readonly number[];
}

/** driver.json: read by rtc_driver/facts.py, field by field under the same names. */
export function formatDriverFacts({ manifest, maxContext, endTokens }: DriverFacts): string {
  const { recursion, cache, precision, exits, graphs } = manifest;
  const files = Object.keys(graphs);
  const step = files.find((file) => posix.basename(file) === stepGraphName);
  invariant(step !== undefined, 'a driver needs a step graph');
  const { inputs, outputs } = graphs[step]!;
  const size = (tensors: typeof inputs, name: string) =>
    Number(tensors.find((tensor) => tensor.name === name)?.dims.at(-1));
  const facts = {
    version: 1,
    prelude: recursion.prelude,
    block: recursion.block,
    coda: recursion.coda,
    loops: recursion.loops,
    hidden_size: size(inputs, 'hidden'),
    vocabulary: size(outputs, 'logits'),
    kv_heads: cache.heads,
    head_dim: cache.headDim,
    page_size: cache.pageSize,
    groups: cache.groups,
    dtype: precision.compute,
    layers: cache.layers.map(({ part }) => part),
    exits: exits?.after ?? [],
    threshold: exits?.threshold ?? 1,
    end_tokens: endTokens,
    max_positions: maxContext,
    step: stepGraphName,
    propagate: files.some((file) => posix.basename(file) === propagateGraphName) ? propagateGraphName : null,
  };
  return `${JSON.stringify(facts, null, 2)}\n`;
}
