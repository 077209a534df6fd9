import type { Diagnostic } from '../../files/diagnostics.ts';
import type { CompileOptions, Form } from '../compile-options.ts';
import { meansTensorrt } from '../tensorrt/means-tensorrt.ts';

/** What is wrong with options of the target `triton`, before a model is looked at. */
export function repositoryProblems(options: CompileOptions, form: Form): readonly Diagnostic[] {
  const { target, layout, dialect } = options;
  if (target !== 'triton') return [];
  const problems: Diagnostic[] = [];
  const error = (code: string, message: string, hint: string) =>
    problems.push({ severity: 'error', code, message, hint });
  if (form !== 'depth-batched') {
    const message = `The driver for Triton runs rows of all depths in one step, and the form is "${form}".`;
    error('no-repository-form', message, 'Leave the form out, or use "depth-batched".');
  }
  if (dialect !== undefined && meansTensorrt({ ...options, dialect: undefined })) {
    const message = `The dialect "${dialect}" is for ONNX Runtime, and other options are for TensorRT.`;
    error('no-dialect', message, 'Leave one of the two out.');
  }
  if (layout === 'huggingface')
    error('no-hugging-face-layout', 'A Triton repository has a layout of its own.', 'Leave the layout out.');
  return problems;
}
