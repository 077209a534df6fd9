import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SourceModel } from '../../../compiler/read/source-model.ts';
import { makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import { type Generation, generate } from '../../../runtime/generate.ts';
import { loadPackage } from '../../../runtime/load-package.ts';
import { compiled } from '../../e2e/open-package.ts';
import { sourceJudges } from '../../e2e/source-judge.ts';
import { modelFolder } from '../../package/simple-package.ts';
import { everyLoop } from '../../support/exits.ts';
import { expectClose } from '../../support/expect-close.ts';
import { kvPolicyReference, type Leaves, type Policy, type PolicyRun } from '../../support/kv-policy-reference.ts';
import { loopReference } from '../../support/loop-reference.ts';
import type { Entry } from '../../support/model-parts.ts';
import { referenceModel, referenceNames } from '../../support/reference-model.ts';
import { tokenRows } from '../../support/token-rows.ts';

/** Both sides compute in float64, in another order. */
const tolerance = 1e-9;
const policies: readonly Policy[] = ['last-exited', 'propagate', 'complete', 'shared'];
const recursive = referenceNames.filter((name) => name !== 'kjv-teacher');

/** A model, a prompt, and the loops behind which its next tokens leave: early, late, in between, early, late. */
async function example(name: string): Promise<{
  readonly model: SourceModel;
  readonly prompt: readonly number[];
  readonly exits: readonly number[];
}> {
  const { model, reference } = await referenceModel(name);
  const { loops } = model.recursion;
  return {
    model,
    prompt: tokenRows(reference.get('input_ids')!)[0]!.slice(0, 4),
    exits: [loops, 1, loops, Math.min(2, loops), 1, loops],
  };
}

describe.each(referenceNames)('%s', (name) => {
  test('nobody leaves early: every policy but shared generates what transformers does', async () => {
    const { model, reference } = await referenceModel(name);
    const prompt = tokenRows(reference.get('input_ids')!).at(-1)!;
    const generated = tokenRows(reference.get('generated')!).at(-1)!.slice(0, 6);
    const { generate: go } = kvPolicyReference(model);
    for (const policy of policies.filter((p) => p !== 'shared')) {
      const run = await go({ prompt, maxNewTokens: 6, policy, leaves: { kind: 'threshold', threshold: 1 } });
      expect(run.tokens, policy).toEqual(generated);
      expect(new Set(run.exits)).toEqual(new Set([model.recursion.loops]));
    }
  });
});

describe.each(recursive)('%s', (name) => {
  test('last-exited is what the plain reference of the loop form computes', async () => {
    const { model, prompt } = await example(name);
    const { loops } = model.recursion;
    const after = everyLoop(model);
    const plain = loopReference(model);
    const { generate: go } = kvPolicyReference(model);
    const full = await go(request(prompt, 'last-exited', { kind: 'threshold', threshold: 1, after }));
    const threshold = clearThreshold(full.confidences.flatMap((c) => c.slice(0, -1)));
    const run = await go(request(prompt, 'last-exited', { kind: 'threshold', threshold, after }));
    expect(new Set(run.exits).size, 'loops behind which tokens left').toBeGreaterThan(1);

    let pass = plain.run(prompt, undefined, { maxLoops: loops, threshold: 1, after });
    for (const [i, token] of run.tokens.entries()) {
      expect(pass.exitLoops.at(-1)).toBe(run.exits[i]);
      expectNear(run.logits[i]!, pass.logits.at(-1)!, `logits of token ${i}`);
      if (i + 1 < run.tokens.length) pass = plain.run([token], pass.cache, { maxLoops: loops, threshold, after });
    }
    run.entries.forEach((depths, k) => {
      depths.forEach((entries, depth) => {
        const what = `layer ${k}, depth ${depth}`;
        const { keys, values } = pass.cache[k]![depth]!;
        expectNear(joined(entries, 'key'), Float64Array.from(keys.flatMap((v) => [...v])), `${what}, keys`);
        expectNear(joined(entries, 'value'), Float64Array.from(values.flatMap((v) => [...v])), `${what}, values`);
      });
    });
  });

  test('complete is full depth for everybody, read where the trace says', async () => {
    const { model, prompt, exits } = await example(name);
    const { prelude, coda, loops, block } = model.recursion;
    const run = await kvPolicyReference(model).generate(request(prompt, 'complete', { kind: 'trace', exits }));
    expect(run.exits).toEqual(exits);
    // All tokens at once through the source graph; with a coda they would hear each other through its caches.
    const judge = sourceJudges(model);
    const read = [...prompt, ...run.tokens.slice(0, -1)];
    if (coda === 0) {
      for (const [i, exit] of exits.entries()) {
        const logits = (await judge(exit).run(read)).get('logits')!;
        expectNear(run.logits[i]!, rowOf(logits, prompt.length - 1 + i), `logits of token ${i}`);
      }
    }
    const full = await judge().run(read);
    for (let depth = 0; depth < loops; depth++) {
      for (let k = 0; k < block; k++) {
        const unrolled = `present.${prelude + depth * block + k}`;
        const entries = run.entries[prelude + k]![depth]!;
        for (const part of ['key', 'value'] as const) {
          expectNear(joined(entries, part), byPosition(full.get(`${unrolled}.${part}`)!), `${unrolled}.${part}`);
        }
      }
    }
  });

  test('shared is the source graph that is given one cache for all its loops', async () => {
    const { model, prompt, exits } = await example(name);
    const { prelude, coda, loops, block } = model.recursion;
    const run = await kvPolicyReference(model).generate(request(prompt, 'shared', { kind: 'trace', exits }));
    const judge = sourceJudges(model);
    const stored = (unrolled: number, n: number) => {
      const inBlock = unrolled - prelude;
      if (inBlock < 0) return unrolled;
      return inBlock < block * n ? prelude + (inBlock % block) : unrolled - block * (n - 1);
    };
    // By stored layer: what the last token left there, a tensor of all positions.
    let left = new Map<string, Tensor>();
    const read = [...prompt, ...run.tokens.slice(0, -1)];
    for (const [position, token] of read.entries()) {
      const place = position - prompt.length + 1;
      const n = place > 0 ? exits[place]! : loops;
      const names = Array.from({ length: prelude + block * n + coda }, (_, i) => i).flatMap((i) =>
        (['key', 'value'] as const).map((part) => [`present.${i}.${part}`, `${stored(i, n)}.${part}`] as const),
      );
      const past = position === 0 ? undefined : new Map(names.map(([unrolled, k]) => [unrolled, left.get(k)!]));
      const outputs = await judge(n).run([token], past);
      // Later loops come later in the list, and what they leave replaces what earlier ones left.
      left = new Map(names.map(([unrolled, k]) => [k, outputs.get(unrolled)!]));
      if (place >= 0) expectNear(run.logits[place]!, rowOf(outputs.get('logits')!, 0), `logits of token ${place}`);
    }
    run.entries.forEach(([entries], k) => {
      for (const part of ['key', 'value'] as const) {
        expectNear(joined(entries!, part), byPosition(left.get(`${k}.${part}`)!), `layer ${k}, ${part}`);
      }
    });
  });

  test('propagate gives deeper loops entries of the state a token left with', async () => {
    const { model, prompt, exits } = await example(name);
    const { prelude, block, loops } = model.recursion;
    const { generate: go } = kvPolicyReference(model);
    const trace = { kind: 'trace', exits } as const;
    const run = await go(request(prompt, 'propagate', trace));
    const forced = run.tokens;
    const left = await go({ ...request(prompt, 'complete', trace), forced });
    const copied = await go({ ...request(prompt, 'last-exited', trace), forced });
    // The first token that leaves early has heard only tokens at full depth: up to its exit all policies agree, and the
    // state it left with is what the first layer of its next loop reads.
    const position = prompt.length;
    const exit = exits[1]!;
    expect(exit).toBeLessThan(loops);
    for (let k = 0; k < block; k++) {
      const [mine, exact, copies] = [run, left, copied].map(({ entries }) => entries[prelude + k]!);
      for (let depth = 0; depth < exit; depth++) {
        expectNear(mine![depth]![position]!.value, exact![depth]![position]!.value, `layer ${k}, depth ${depth}`);
      }
      for (let depth = exit; depth < loops; depth++) {
        const values = mine![depth]![position]!.value;
        if (k === 0 && depth === exit) expectNear(values, exact![depth]![position]!.value, 'the next loop');
        else expect(values, `layer ${k}, depth ${depth}`).not.toEqual(exact![depth]![position]!.value);
        expect(values, `layer ${k}, depth ${depth}`).not.toEqual(copies![depth]![position]!.value);
        // What deeper loops read is the same state: without factors of their own they make the same of it.
        if (!model.lora) expect(values).toEqual(mine![exit]![position]!.value);
      }
    }
  });
});

test('policies differ where tokens leave early', async () => {
  const { model, prompt, exits } = await example('kjv-relaxed');
  const { generate: go } = kvPolicyReference(model);
  const runs: PolicyRun[] = [];
  for (const policy of policies) runs.push(await go(request(prompt, policy, { kind: 'trace', exits })));
  for (const [i, a] of runs.entries()) {
    for (const b of runs.slice(i + 1)) expect(a.logits.at(-1)).not.toEqual(b.logits.at(-1));
  }
});

describe('the loop form on ONNX Runtime', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rtc-kv-policy-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each(recursive)('%s leaves and chooses as last-exited', async (name) => {
    const { model, prompt } = await example(name);
    const { loops } = model.recursion;
    const { generate: go } = kvPolicyReference(model);
    const full = await go(request(prompt, 'last-exited', { kind: 'threshold', threshold: 1 }));
    const offered = full.confidences.flatMap((c) => (model.exits?.after ?? []).flatMap((n) => c[n - 1] ?? []));
    const threshold = offered.length === 0 ? 1 : clearThreshold(offered);
    const loaded = await loadPackage(
      await compiled({ model: modelFolder(name), out: join(folder, name), form: 'loop' }),
      { threads: 1 },
    );
    if (!loaded.ok) return expect.fail(JSON.stringify(loaded.diagnostics));
    try {
      const run = async (options: { readonly exitThreshold: number } | { readonly exitAt: number }) => {
        const stream = generate(loaded.value, [prompt], { maxNewTokens: 6, ignoreEos: true, ...options });
        if (!stream.ok) return expect.fail(JSON.stringify(stream.diagnostics));
        let next: IteratorResult<unknown, Generation>;
        do next = await stream.value.next();
        while (!next.done);
        const { tokens, exits } = next.value.sequences[0]!;
        return { tokens, exits };
      };
      const expected = async (leaves: Leaves) => {
        const { tokens, exits } = await go(request(prompt, 'last-exited', leaves));
        return { tokens, exits };
      };
      expect(await run({ exitThreshold: threshold })).toEqual(await expected({ kind: 'threshold', threshold }));
      for (const loop of [1, loops - 1]) {
        const trace = { kind: 'trace', exits: Array.from({ length: 6 }, () => loop) } as const;
        expect(await run({ exitAt: loop })).toEqual(await expected(trace));
      }
    } finally {
      await loaded.value.close();
    }
  });
});

function request(prompt: readonly number[], policy: Policy, leaves: Leaves) {
  return { prompt, maxNewTokens: 6, policy, leaves };
}

/** Between two neighbours among the lower confidences that are as far apart as any. */
function clearThreshold(confidences: readonly number[]): number {
  const sorted = confidences.toSorted((a, b) => a - b);
  const gaps = sorted.slice(1).map((high, i) => ({ middle: (high + sorted[i]!) / 2, size: high - sorted[i]! }));
  return gaps.toSorted((a, b) => b.size - a.size)[0]!.middle;
}

function expectNear(found: Float64Array, expected: Float64Array, what: string): void {
  const flat = (data: Float64Array) => makeTensor('f32', [data.length], data);
  expectClose(flat(found), flat(expected), tolerance, what);
}

/** By position, head and place in the head. */
function joined(entries: readonly Entry[], part: keyof Entry): Float64Array {
  return Float64Array.from(entries.flatMap((entry) => [...entry[part]]));
}

/** [1, heads, positions, size] by position. */
function byPosition({ shape, data }: Tensor): Float64Array {
  const [, heads, positions, size] = shape as [number, number, number, number];
  return Float64Array.from(data, (_, i) => {
    const [position, head] = [Math.floor(i / (heads * size)), Math.floor(i / size) % heads];
    return data[(head * positions + position) * size + (i % size)]!;
  });
}

/** One position of [1, positions, vocab]. */
function rowOf({ shape, data }: Tensor, position: number): Float64Array {
  const vocab = shape[2]!;
  return data.subarray(position * vocab, (position + 1) * vocab);
}
