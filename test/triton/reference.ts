import { expect } from 'vitest';
import { readPackage } from '../../files/package.ts';
import type { KvPolicy } from '../../runtime/depth-batched/core.ts';
import { createCore } from '../../runtime/depth-batched/create-core.ts';
import { openStepModel } from '../../runtime/depth-batched/open-step-model.ts';
import type { GenerationRequest } from '../../runtime/depth-batched/request.ts';
import { readEndTokens } from '../../runtime/end-tokens.ts';

/** What a request got. */
export interface Generated {
  readonly tokens: readonly number[];
  readonly exits: readonly number[];
}

/** What rtc's own runtime gives for requests, all at once, on the package that the driver is tried on. */
export async function generated(
  folder: string,
  requests: readonly GenerationRequest[],
  kvPolicy: KvPolicy,
): Promise<readonly Generated[]> {
  const read = await readPackage(folder);
  if (!read.ok) return expect.fail(JSON.stringify(read.diagnostics));
  const opened = await openStepModel(read.value, { pages: 600, boundaryPages: 200, threads: 1 });
  if (!opened.ok) return expect.fail(JSON.stringify(opened.diagnostics));
  const endTokens = await readEndTokens(folder, read.value.manifest);
  const core = createCore(opened.value, { maxRows: 8, prefillChunk: 16, kvPolicy, endTokens });
  requests.forEach((request, id) => {
    const submitted = core.submit(id, request);
    if (!submitted.ok) expect.fail(JSON.stringify(submitted.diagnostics));
  });
  const results = requests.map(() => ({ tokens: [] as number[], exits: [] as number[] }));
  for (let report = await core.step(); report !== undefined; report = await core.step()) {
    for (const { request, token, exit } of report.tokens) {
      results[request]!.tokens.push(token);
      results[request]!.exits.push(exit);
    }
  }
  await opened.value.close();
  return results;
}
