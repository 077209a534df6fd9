import type { OnnxNode } from '../onnx-model.ts';
import { attentionKernels } from './attention-kernel.ts';
import { axisKernels } from './axis-kernels.ts';
import { elementwiseKernels } from './elementwise-kernels.ts';
import { microsoftKernels } from './microsoft-kernels.ts';
import type { NodeKernel } from './node-call.ts';
import { normKernels } from './norm-kernels.ts';
import { shapeKernels } from './shape-kernels.ts';

/** Operators that the executor itself carries out, because they hold tensors or graphs. */
const controlOperators = ['Constant', 'ConstantOfShape', 'Loop', 'If'];

/** The kernel of a node's operator; undefined for one that rtc does not know, or that holds tensors or graphs. */
export function findKernel({ domain, opType }: OnnxNode): NodeKernel | undefined {
  return tablesOf(domain).find((table) => Object.hasOwn(table, opType))?.[opType];
}

export function isControl({ domain, opType }: OnnxNode): boolean {
  return domain === '' && controlOperators.includes(opType);
}

/** Every operator that can be executed, those of other domains with theirs in front. */
export function knownOperators(): readonly string[] {
  const plain = [...tablesOf('').flatMap(Object.keys), ...controlOperators];
  return [
    ...plain,
    ...tablesOf('com.microsoft').flatMap((table) => Object.keys(table).map((name) => `com.microsoft.${name}`)),
  ];
}

function tablesOf(domain: string): readonly Readonly<Record<string, NodeKernel>>[] {
  if (domain === '') return [elementwiseKernels, shapeKernels, axisKernels, normKernels, attentionKernels];
  return domain === 'com.microsoft' ? [microsoftKernels] : [];
}
