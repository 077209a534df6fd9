import type { Diagnostic } from '../../files/diagnostics.ts';
import { readTensorChunks } from '../../files/read-tensor.ts';
import type { DecoderSpec } from '../architectures/decoder-spec.ts';
import type { SourceTensor } from './source-model.ts';

/**
 * A head that is stored although the config ties it to the embedding. Older files often hold it twice; then it is one.
 * Where the two differ, transformers 4 ties them all the same and transformers 5 does not, so the user has to say.
 */
export async function checkTiedHead(
  spec: DecoderSpec,
  tensors: ReadonlyMap<string, SourceTensor>,
  shown: (path: string) => string,
): Promise<readonly Diagnostic[]> {
  const head = tensors.get(`${spec.names.head}.weight`);
  const embedding = tensors.get(`${spec.names.embedding}.weight`);
  if (!spec.tiedEmbeddings || head === undefined || embedding === undefined) return [];
  const location = { file: shown(head.file.path), path: head.name };
  if (await sameTensor(head, embedding)) {
    const message = `"${head.name}" is stored although it is tied to "${embedding.name}"; they are equal, and the embedding is used.`;
    return [{ severity: 'note', code: 'tied-head', location, message }];
  }
  const message = `The config ties "${head.name}" to "${embedding.name}", but both are stored and they differ.`;
  const hint =
    'Set "tie_word_embeddings" to false to use the stored head, as transformers 5 does, or remove it from the file to tie them, as transformers 4 does.';
  return [{ severity: 'error', code: 'tied-head', location, message, hint }];
}

async function sameTensor(a: SourceTensor, b: SourceTensor): Promise<boolean> {
  if (a.dtype !== b.dtype || a.length !== b.length || a.shape.join() !== b.shape.join()) return false;
  const others = readTensorChunks(b.file.absolutePath, b);
  try {
    for await (const chunk of readTensorChunks(a.file.absolutePath, a)) {
      const other = await others.next();
      if (other.done === true || Buffer.compare(chunk, other.value) !== 0) return false;
    }
    return true;
  } finally {
    // Closes the file.
    await others.return();
  }
}
