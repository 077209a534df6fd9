import { expect } from 'vitest';
import type { CompileOptions } from '../../../compiler/compile-options.ts';
import { readPackage } from '../../../files/package.ts';
import { openStepModel } from '../../../runtime/depth-batched/open-step-model.ts';
import type { StepModel } from '../../../runtime/depth-batched/step-model.ts';
import { compiled } from '../../e2e/open-package.ts';

/** Compiles a model into its step graph, with the smallest pages, and opens it on one thread. */
export async function stepPackage(
  options: Omit<CompileOptions, 'form' | 'out'> & { readonly out: string; readonly pages?: number },
): Promise<StepModel> {
  const { pages = 200, ...compile } = options;
  const read = await readPackage(await compiled({ pageSize: 16, ...compile, form: 'depth-batched' }));
  if (!read.ok) return expect.fail(JSON.stringify(read.diagnostics));
  const opened = await openStepModel(read.value, { pages, boundaryPages: pages, threads: 1 });
  return opened.ok ? opened.value : expect.fail(JSON.stringify(opened.diagnostics));
}
