import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from '../../compiler/compile.ts';
import { openSession } from '../../runtime/session.ts';

/** Logits of windows of equal length, from a model compiled as it is unrolled; [windows · length, vocabulary] in order. */
export interface Logits {
  readonly vocabulary: number;
  readonly data: Float32Array;
}

/** Compiles a model without loops in the graph and runs windows through it on ONNX Runtime, in float32. */
export async function logitsOf(
  model: string,
  windows: readonly (readonly number[])[],
  scratch: string,
): Promise<Logits> {
  const folder = mkdtempSync(join(scratch, 'unrolled-'));
  const out = join(folder, 'package');
  try {
    const compiled = await compile({ model, form: 'unrolled', out });
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.diagnostics));
    const opened = await openSession(join(out, 'model.onnx'));
    if (!opened.ok) throw new Error(JSON.stringify(opened.diagnostics));
    const session = opened.value;
    const length = windows[0]!.length;
    const atATime = 16;
    let all: Float32Array | undefined;
    let vocabulary = 0;
    for (let first = 0; first < windows.length; first += atATime) {
      const batch = windows.slice(first, first + atATime);
      const integers = (values: readonly number[]) => ({
        type: 'i64' as const,
        dims: [batch.length, length],
        data: BigInt64Array.from(values, BigInt),
      });
      const feeds = {
        input_ids: integers(batch.flat()),
        attention_mask: integers(batch.flatMap((row) => row.map(() => 1))),
        position_ids: integers(batch.flatMap((row) => row.map((_, i) => i))),
        ...Object.fromEntries(
          session.inputs.flatMap(({ name, dims }) =>
            name.startsWith('past_key_values')
              ? [
                  [
                    name,
                    {
                      type: 'f32' as const,
                      dims: [batch.length, Number(dims[1]), 0, Number(dims[3])],
                      data: new Float32Array(),
                    },
                  ],
                ]
              : [],
          ),
        ),
      };
      const { logits } = await session.run(feeds, ['logits']);
      vocabulary = logits!.dims[2]!;
      all ??= new Float32Array(windows.length * length * vocabulary);
      all.set(logits!.data as Float32Array, first * length * vocabulary);
    }
    await session.close();
    return { vocabulary, data: all! };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Mean negative log-likelihood, in nats, of every token but the first of each window. */
export function meanNll(windows: readonly (readonly number[])[], { vocabulary, data }: Logits): number {
  const length = windows[0]!.length;
  let sum = 0;
  windows.forEach((window, w) => {
    for (let t = 0; t + 1 < length; t++) {
      const at = (w * length + t) * vocabulary;
      let largest = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < vocabulary; i++) largest = Math.max(largest, data[at + i]!);
      let total = 0;
      for (let i = 0; i < vocabulary; i++) total += Math.exp(data[at + i]! - largest);
      sum += largest + Math.log(total) - data[at + window[t + 1]!]!;
    }
  });
  return sum / (windows.length * (length - 1));
}
