import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type GeneratedToken, type Generation, generate, type TokenStream } from '../../runtime/generate.ts';
import type { GenerateOptions } from '../../runtime/generate-options.ts';
import type { LoadedPackage } from '../../runtime/load-package.ts';
import { continuation, fakePackage, vocabulary } from './fake-package.ts';

async function drain(stream: TokenStream): Promise<{ yielded: GeneratedToken[]; generation: Generation }> {
  const yielded: GeneratedToken[] = [];
  while (true) {
    const next = await stream.next();
    if (next.done) return { yielded, generation: next.value };
    yielded.push(next.value);
  }
}

async function run(loaded: LoadedPackage, prompts: readonly (readonly number[])[], options: GenerateOptions = {}) {
  const stream = generate(loaded, prompts, options);
  if (!stream.ok) throw new Error(stream.diagnostics.map((d) => d.message).join('\n'));
  return drain(stream.value);
}

describe('batches', () => {
  test('the prompts are one call, and each further token is one', async () => {
    const loaded = fakePackage('unrolled');
    const { generation } = await run(
      loaded,
      [
        [5, 6],
        [7, 8, 9],
      ],
      { maxNewTokens: 3 },
    );
    expect(loaded.calls).toEqual([
      {
        inputIds: [
          [0, 5, 6],
          [7, 8, 9],
        ],
        attentionMask: [
          [0, 1, 1],
          [1, 1, 1],
        ],
        positionIds: [
          [0, 0, 1],
          [0, 1, 2],
        ],
        past: 0,
      },
      {
        inputIds: [[17], [0]],
        attentionMask: [
          [0, 1, 1, 1],
          [1, 1, 1, 1],
        ],
        positionIds: [[2], [3]],
        past: 3,
      },
      expect.objectContaining({ positionIds: [[3], [4]], past: 4 }),
    ]);
    expect(generation).toMatchObject({ steps: 3, rows: 6 });
  });

  test('padding on the right leaves a gap that is masked for good', async () => {
    const loaded = fakePackage('unrolled');
    await run(
      loaded,
      [
        [5, 6],
        [7, 8, 9],
      ],
      { maxNewTokens: 2, padding: 'right' },
    );
    expect(loaded.calls[0]?.inputIds).toEqual([
      [5, 6, 0],
      [7, 8, 9],
    ]);
    expect(loaded.calls[1]).toMatchObject({
      inputIds: [[17], [0]],
      attentionMask: [
        [1, 1, 0, 1],
        [1, 1, 1, 1],
      ],
      positionIds: [[2], [3]],
    });
  });

  test('a sequence is what it would be alone, whatever is beside it and whenever that ends', async () => {
    const prompt = fc.array(fc.nat(vocabulary - 1), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(prompt, { minLength: 1, maxLength: 5 }),
        fc.constantFrom('left' as const, 'right' as const),
        fc.constantFrom('unrolled' as const, 'loop' as const),
        fc.uniqueArray(fc.nat(vocabulary - 1), { maxLength: 10 }),
        async (prompts, padding, form, endTokens) => {
          const { generation } = await run(fakePackage(form, endTokens), prompts, { maxNewTokens: 9, padding });
          const expected = prompts.map((tokens) => {
            const whole = continuation(tokens, 9);
            const end = whole.findIndex((token) => endTokens.includes(token));
            return end < 0 ? whole : whole.slice(0, end + 1);
          });
          expect(generation.sequences.map(({ tokens }) => tokens)).toEqual(expected);
          expect(generation.sequences.map((sequence) => sequence.prompt)).toEqual(prompts);
          expect(generation.steps).toBe(Math.max(...expected.map(({ length }) => length)));
          // Rows leave with their last token.
          expect(generation.rows).toBe(expected.reduce((sum, { length }) => sum + length, 0));
        },
      ),
    );
  });

  test('what is yielded is what is returned, in order, with the last token marked', async () => {
    const { yielded, generation } = await run(
      fakePackage('unrolled', [0]),
      [
        [5, 6],
        [7, 8, 9],
      ],
      { maxNewTokens: 3 },
    );
    expect(yielded.map(({ sequence, token, last }) => [sequence, token, last])).toEqual([
      [0, 17, false],
      [1, 0, true],
      [0, 18, false],
      [0, 40, true],
    ]);
    expect(generation.sequences.map(({ tokens }) => tokens)).toEqual([[17, 18, 40], [0]]);
  });

  test('ignoreEos goes on', async () => {
    const { generation } = await run(fakePackage('unrolled', [0]), [[7, 8, 9]], { maxNewTokens: 4, ignoreEos: true });
    expect(generation.sequences[0]?.tokens).toHaveLength(4);
  });
});

describe('length', () => {
  test('without a number, as many tokens as there are positions for', async () => {
    const { generation } = await run(fakePackage('unrolled'), [[1, 2], [3]]);
    // 32 positions: the prompt and all new tokens but the last.
    expect(generation.sequences.map(({ tokens }) => tokens.length)).toEqual([31, 32]);
  });
});

describe('exits', () => {
  test('in the form unrolled every token runs all loops', async () => {
    const { generation } = await run(fakePackage('unrolled'), [[5, 6]], { maxNewTokens: 2 });
    expect(generation.sequences[0]?.exits).toEqual([3, 3]);
  });

  test("prompts run all loops, new tokens leave at the model's own threshold", async () => {
    const loaded = fakePackage('loop');
    const { generation } = await run(loaded, [[5, 6]], { maxNewTokens: 4 });
    expect(loaded.calls.map(({ maxLoops, exitThreshold }) => [maxLoops, exitThreshold])).toEqual([
      [3, 1],
      [3, 0.5],
      [3, 0.5],
      [3, 0.5],
    ]);
    // Each token is chosen where the token before it left: 17, 18 and 40 leave after 1 + token % 3.
    expect(generation.sequences[0]).toMatchObject({
      tokens: [17, 18, 40, continuation([5, 6], 4)[3]],
      exits: [3, 3, 1, 2],
    });
  });

  test('a threshold replaces that of the model', async () => {
    const loaded = fakePackage('loop');
    const { generation } = await run(loaded, [[5, 6]], { maxNewTokens: 3, exitThreshold: 1 });
    expect(loaded.calls[1]?.exitThreshold).toBe(1);
    expect(generation.sequences[0]?.exits).toEqual([3, 3, 3]);
  });

  test('exitAt is a limit of loops that no confidence beats', async () => {
    const loaded = fakePackage('loop');
    const { generation } = await run(loaded, [[5, 6]], { maxNewTokens: 3, exitAt: 2 });
    expect(loaded.calls[1]).toMatchObject({ maxLoops: 2, exitThreshold: 1 });
    expect(generation.sequences[0]?.exits).toEqual([3, 2, 2]);
  });
});

describe('refused, all problems at once', () => {
  const codes = (
    prompts: readonly (readonly number[])[],
    options: GenerateOptions = {},
    form: 'unrolled' | 'loop' = 'loop',
  ) => {
    const stream = generate(fakePackage(form), prompts, options);
    return stream.ok ? 'accepted' : stream.diagnostics.map((d) => d.code);
  };

  test.each<[string, readonly (readonly number[])[], GenerateOptions, readonly string[] | 'accepted']>([
    ['no prompt', [], {}, ['no-prompt']],
    ['an empty prompt', [[1], []], {}, ['empty-prompt']],
    [
      'tokens outside the vocabulary',
      [[1, vocabulary], [-1], [1.5]],
      {},
      ['unknown-token', 'unknown-token', 'unknown-token'],
    ],
    ['a prompt longer than the model', [new Array(33).fill(1)], {}, ['prompt-too-long']],
    ['as many tokens as fit', [new Array(30).fill(1)], { maxNewTokens: 3 }, 'accepted'],
    ['one token more than fits', [new Array(30).fill(1)], { maxNewTokens: 4 }, ['too-many-tokens']],
    ['no new tokens', [[1]], { maxNewTokens: 0 }, ['bad-option']],
    ['a threshold that is no number', [[1]], { exitThreshold: Number.NaN }, ['bad-option']],
    ['two ways to exit', [[1]], { exitThreshold: 0.5, exitAt: 1 }, ['bad-option']],
    ['a loop that does not exist', [[1]], { exitAt: 4 }, ['bad-option']],
    [
      'sampling out of range',
      [[1]],
      { sampling: { kind: 'sample', temperature: 0, topK: 0, topP: 2, seed: 0.5 } },
      ['bad-option', 'bad-option', 'bad-option', 'bad-option'],
    ],
  ])('%s', (_, prompts, options, expected) => {
    expect(codes(prompts, options)).toEqual(expected);
  });

  test('an early exit in the form unrolled; its last loop is none', () => {
    expect(codes([[1]], { exitAt: 2 }, 'unrolled')).toEqual(['exit-needs-loop-form']);
    expect(codes([[1]], { exitAt: 3 }, 'unrolled')).toBe('accepted');
  });
});

test('an aborted signal stops between two tokens', async () => {
  const abort = new AbortController();
  const loaded = fakePackage('unrolled');
  const stream = generate(loaded, [[1, 2]], { signal: abort.signal });
  if (!stream.ok) throw new Error('refused');
  await stream.value.next();
  abort.abort(new Error('enough'));
  await expect(stream.value.next()).rejects.toThrow('enough');
  expect(loaded.calls).toHaveLength(1);
});
