import { readFile } from 'node:fs/promises';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { byteLength } from '../../ir/dtype.ts';
import { allOps } from '../../ir/graph.ts';
import { parseGraph } from '../../ir/parse.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { weightType } from '../../ir/weights.ts';
import { findLoop } from '../../passes/fold-loop/find-loop.ts';
import { histogram } from './histogram.ts';
import type { GraphInspection } from './inspection.ts';

/** Reads a graph of the IR as text, verifies it, and says what it is made of. */
export async function inspectGraph(file: string): Promise<Result<GraphInspection>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    return failure(fileDiagnostic(error, { file }, 'read'));
  }
  const parsed = parseGraph(text);
  if (!parsed.ok) {
    return failure(
      ...parsed.problems.map(({ line, column, message }) => ({
        severity: 'error' as const,
        code: 'invalid-rtc',
        location: { file, line, column },
        message: `${message.charAt(0).toUpperCase()}${message.slice(1).replace(/\.?$/, '.')}`,
      })),
    );
  }
  const { graph } = parsed;
  const problems = verifyGraph(graph);
  if (problems.length > 0) {
    return failure(
      ...problems.map((message) => ({
        severity: 'error' as const,
        code: 'invalid-graph',
        location: { file },
        message: message.replace(/\.?$/, '.'),
      })),
    );
  }
  const bytes = graph.weights.map(({ expr }) => {
    const { dtype, dims } = weightType(expr);
    return byteLength(
      dtype,
      dims.reduce((product, dim) => product * dim, 1),
    );
  });
  return success({
    kind: 'rtc',
    file,
    name: graph.name,
    stage: graph.stage,
    operations: histogram([...allOps(graph)].map(({ kind }) => kind)),
    weights: { count: bytes.length, bytes: bytes.reduce((sum, size) => sum + size, 0) },
    loop: findLoop(graph),
    inputs: graph.inputs.map(({ name, type }) => ({ name, type: type.dtype, dims: type.dims })),
    outputs: graph.outputs.map(({ name, value }) => ({ name, type: value.type.dtype, dims: value.type.dims })),
  });
}
