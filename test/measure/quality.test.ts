import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { measureQuality, type QualityOptions, type QualityRow } from '../../measure/quality.ts';
import { scoreText, textWindows } from '../../measure/quality-text.ts';
import type { KvPolicy } from '../../runtime/depth-batched/core.ts';
import { createCore } from '../../runtime/depth-batched/create-core.ts';
import type { StepModel } from '../../runtime/depth-batched/step-model.ts';
import { loadTokenizer } from '../../runtime/tokenizer.ts';
import { modelFolder } from '../package/simple-package.ts';
import { stepPackage } from '../runtime/depth-batched/step-package.ts';
import { kvPolicyReference } from '../support/kv-policy-reference.ts';
import { referenceModel } from '../support/reference-model.ts';

const policies: readonly KvPolicy[] = ['last-exited', 'propagate', 'complete', 'shared'];

test('a text is cut into windows that share nothing', () => {
  expect(textWindows([1, 2, 3, 4, 5, 6, 7], 3)).toEqual([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  expect(textWindows([1, 2], 3)).toEqual([[1, 2]]);
});

describe('kjv-relaxed on its held-out text', () => {
  let folder: string;
  let model: StepModel;
  let tokens: readonly number[];
  const newCore = (kvPolicy: KvPolicy) => createCore(model, { maxRows: 16, kvPolicy });
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rtc-quality-'));
    model = await stepPackage({ model: modelFolder('kjv-relaxed'), out: join(folder, 'package'), pages: 600 });
    const tokenizer = await loadTokenizer(modelFolder('kjv-relaxed'));
    const text = readFileSync(join(import.meta.dirname, '..', '..', 'examples', 'kjv-heldout.txt'), 'utf8');
    tokens = tokenizer.ok ? tokenizer.value!.encode(text) : [];
  });
  afterAll(async () => {
    await model.close();
    rmSync(folder, { recursive: true });
  });

  test('behind each loop the whole text is as likely as the model that was trained on the rest says', async () => {
    const { reference } = await referenceModel('kjv-relaxed');
    const expected = reference.get('heldout_nll')!.data;
    const windows = textWindows(tokens, 129);
    expect(windows).toHaveLength(64);
    for (const loop of [1, 3]) {
      const { logProbabilities } = await scoreText(newCore('last-exited'), windows, { kind: 'fixed', loop });
      const all = logProbabilities.flat();
      expect(all).toHaveLength(64 * 128);
      const nats = -all.reduce((sum, x) => sum + x, 0) / all.length;
      // A window's first token is its prompt and runs all loops: one token of 128 is better than the reference's.
      if (loop === 3) expect(nats).toBeCloseTo(expected[2]!, 5);
      else expect(Math.abs(nats - expected[loop - 1]!), `${loop} loops: ${nats}`).toBeLessThan(1e-3);
    }
  });

  test.each(policies)('%s: tokens of the text leave, and are as likely, as the reference says', async (kvPolicy) => {
    const { model: source } = await referenceModel('kjv-relaxed');
    const reference = kvPolicyReference(source);
    const windows = [tokens.slice(40, 52), tokens.slice(300, 309)];
    const leaves = { kind: 'threshold', threshold: 0.45 } as const;
    const found = await scoreText(newCore(kvPolicy), windows, leaves);
    const seen = new Set<number>();
    for (const [i, window] of windows.entries()) {
      const forced = window.slice(1);
      const ask = { prompt: window.slice(0, 1), maxNewTokens: forced.length, policy: kvPolicy, leaves, forced };
      const { tokens: choices, exits, logits } = await reference.generate(ask);
      expect({ choices: found.choices[i], exits: found.exits[i] }).toEqual({ choices, exits });
      for (const exit of exits) seen.add(exit);
      for (const [t, row] of logits.entries()) {
        const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
        expect(found.logProbabilities[i]![t]).toBeCloseTo(row[forced[t]!]! - Math.log(sum), 4);
      }
    }
    expect(seen.size, 'loops behind which tokens left').toBeGreaterThan(1);
  });

  test('the sweep: full depth first, every rule under every policy, nothing twice', async () => {
    const windows = textWindows(tokens.slice(0, 8 * 33), 33);
    const steps: string[] = [];
    const options: QualityOptions = {
      windows,
      exits: [0.9, 0.3, 1].map((threshold) => ({ kind: 'threshold', threshold })),
      kvPolicies: policies,
      newCore,
      rate: { sequences: 5, promptTokens: 4, newTokens: 3, rounds: 2 },
      onProgress: (done, of) => steps.push(`${done}/${of}`),
    };
    const rows = await measureQuality({ ...options, exits: [...options.exits, { kind: 'fixed', loop: 1 }] });
    const label = ({ exit, kvPolicy }: QualityRow) =>
      `${kvPolicy} ${exit.kind === 'fixed' ? `loop ${exit.loop}` : exit.threshold}`;
    expect(rows.map(label)).toEqual([
      'last-exited 1',
      'last-exited 0.9',
      'last-exited 0.3',
      'last-exited loop 1',
      'propagate 0.9',
      'propagate 0.3',
      'complete 0.9',
      'complete 0.3',
      'shared 1',
      'shared 0.9',
      'shared 0.3',
      'shared loop 1',
    ]);
    expect(steps.at(-1)).toBe('36/36');
    const by = new Map(rows.map((row) => [label(row), row]));
    const full = by.get('last-exited 1')!;
    expect(full).toMatchObject({ tokens: 8 * 31, agreement: 1, meanExit: 3 });
    for (const row of rows) {
      expect(row.perplexity).toBeCloseTo(Math.exp(row.nats), 10);
      expect(row.tokensPerSecond).toBeGreaterThan(0);
    }
    expect(by.get('last-exited loop 1')!.meanExit).toBe(1);
    expect(by.get('complete 0.3')!.meanExit).toBeLessThan(by.get('complete 0.9')!.meanExit);
    // Exact keys and values agree best; and leaving early costs, whatever becomes of them.
    const agreement = (name: string) => by.get(name)!.agreement;
    expect(agreement('complete 0.3')).toBeGreaterThan(agreement('last-exited 0.3'));
    expect(by.get('last-exited loop 1')!.nats).toBeGreaterThan(full.nats);
  });
});
