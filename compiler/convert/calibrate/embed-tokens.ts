import { invariant } from '../../../ir/invariant.ts';
import type { SourceModel } from '../../read/source-model.ts';
import { readFloats } from '../tensor-values.ts';

/** The hidden states that tokens start with, [tokens, hidden], scaled where the model does; the table passes by once. */
export async function embedTokens({ spec, tensors }: SourceModel, tokens: Int32Array): Promise<Float32Array> {
  const width = spec.hiddenSize;
  const table = tensors.get(`${spec.names.embedding}.weight`);
  invariant(table, 'a model that was checked has no embedding');
  const placesOf = new Map<number, number[]>();
  for (const [place, token] of tokens.entries()) {
    const places = placesOf.get(token);
    if (places) places.push(place);
    else placesOf.set(token, [place]);
  }
  const hidden = new Float32Array(tokens.length * width);
  let at = 0;
  for await (const chunk of readFloats(table)) {
    const end = at + chunk.length;
    // A row may begin in one piece and end in the next.
    for (let row = Math.floor(at / width); row * width < end; row++) {
      const from = Math.max(at, row * width);
      const to = Math.min(end, (row + 1) * width);
      for (const place of placesOf.get(row) ?? []) {
        hidden.set(chunk.subarray(from - at, to - at), place * width + from - row * width);
      }
    }
    at = end;
  }
  if (spec.embeddingScale === undefined) return hidden;
  const scale = Math.fround(spec.embeddingScale);
  for (let i = 0; i < hidden.length; i++) hidden[i] = hidden[i]! * scale;
  return hidden;
}
