/** Prompts of different lengths as one batch. */
export interface PaddedBatch {
  /** Length of the longest prompt. */
  readonly width: number;
  /** [batch, width] */
  readonly inputIds: BigInt64Array;
  /** [batch, width]: 1 where a prompt has a token, 0 at padding. */
  readonly attentionMask: BigInt64Array;
  /** [batch, width]: places within the prompt, from 0; 0 at padding. */
  readonly positionIds: BigInt64Array;
  /** Column of each row's last token. */
  readonly last: readonly number[];
}

/** Fills rows up to the longest prompt, on the side that is named. No prompt may be empty. */
export function padPrompts(prompts: readonly (readonly number[])[], side: 'left' | 'right'): PaddedBatch {
  const width = Math.max(...prompts.map((prompt) => prompt.length));
  const size = prompts.length * width;
  // Token 0 stands at padding: it is valid in every vocabulary, and what comes of it is masked.
  const inputIds = new BigInt64Array(size);
  const attentionMask = new BigInt64Array(size);
  const positionIds = new BigInt64Array(size);
  const last = prompts.map((prompt, row) => {
    const start = side === 'left' ? width - prompt.length : 0;
    prompt.forEach((token, position) => {
      const at = row * width + start + position;
      inputIds[at] = BigInt(token);
      attentionMask[at] = 1n;
      positionIds[at] = BigInt(position);
    });
    return start + prompt.length - 1;
  });
  return { width, inputIds, attentionMask, positionIds, last };
}
