import { execa } from 'execa';

/** What {@link findPython} found: a Python that can run the driver, or why there is none. */
export type Python = { readonly path: string } | { readonly missing: string };

/** The `python3` on PATH (or RTC_PYTHON), when it has what the driver needs: 3.10, NumPy and ONNX Runtime. */
export async function findPython(): Promise<Python> {
  const path = process.env.RTC_PYTHON ?? 'python3';
  const check = 'import sys, numpy, onnxruntime; assert sys.version_info >= (3, 10), sys.version';
  const { failed, stderr, exitCode } = await execa(path, ['-c', check], { reject: false });
  if (!failed) return { path };
  const reason = exitCode === undefined ? 'there is none' : String(stderr).split('\n').at(-1);
  return { missing: `no Python with numpy and onnxruntime (${path}): ${reason}` };
}
