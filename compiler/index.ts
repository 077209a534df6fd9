/**
 * rtc as a library: what the command line does, as functions.
 *
 * ```ts
 * import { compile, formatDiagnostics, verifyPackage } from 'rtc';
 *
 * const compiled = await compile({ model: 'examples/kjv-relaxed', form: 'loop', out: 'out/kjv-loop' });
 * if (!compiled.ok) throw new Error(formatDiagnostics(compiled.diagnostics));
 * const checked = await verifyPackage('out/kjv-loop');
 * ```
 *
 * Functions never exit the process and never print. What a user can cause comes back as diagnostics in a
 * {@link Result}; what is thrown is a bug in rtc. Running a package is in `rtc/runtime`.
 */
export type { Diagnostic, Location, Result } from '../files/diagnostics.ts';
export { formatAnnotations, formatDiagnostics } from '../files/format-diagnostics.ts';
export type { PackageManifest } from '../files/manifest.ts';
export { type Package, readPackage } from '../files/package.ts';
export type { PlanStamp } from '../files/plan-stamp.ts';
export type { Dim } from '../ir/dims.ts';
export type { DType } from '../ir/dtype.ts';
export type { Graph, Op, Region, Stage, Value, Weight } from '../ir/graph.ts';
export { parseGraph } from '../ir/parse.ts';
export { printGraph } from '../ir/print.ts';
export type { TensorType } from '../ir/tensor-type.ts';
export { verifyGraph } from '../ir/verify.ts';
export type { WeightExpr } from '../ir/weights.ts';
export { findLoop } from '../passes/fold-loop.ts';
export type { DebugMessage, PassRecord } from '../passes/run-passes.ts';
export { type ExpectedStep, expectedRows, type RowCount, type TunedSizes } from '../simulate/expected-rows.ts';
export { type PaperReport, reproducePaper } from '../simulate/paper/reproduce-paper.ts';
export { readSimulation, type Simulation } from '../simulate/read/read-simulation.ts';
export { type SimulatedRun, type SimulationReport, simulate } from '../simulate/simulate.ts';
export { buildGraph } from './architectures/build-graph.ts';
export type { DecoderSpec, ModelType } from './architectures/decoder-spec.ts';
export { BrokenPassError, compile } from './compile.ts';
export type {
  CompiledFile,
  CompileOptions,
  CompileResult,
  Form,
  Layout,
  LoraStrategy,
  Precision,
  Progress,
} from './compile-options.ts';
export { convert } from './convert/convert.ts';
export type {
  ConvertedDType,
  ConvertOptions,
  ConvertProgress,
  LoraBudget,
  LoraRanks,
} from './convert/convert-options.ts';
export type { ConvertedMatrix, ConvertResult } from './convert/convert-result.ts';
export { type EvaluateOptions, evaluateText } from './convert/evaluate/evaluate-text.ts';
export type { TextScore } from './convert/evaluate/score-windows.ts';
export { inspect } from './inspect/inspect.ts';
export type { Inspection } from './inspect/inspection.ts';
export { readModel } from './read/read-model.ts';
export type { ExitSpec, LoraSpec, Recursion, SourceModel } from './read/source-model.ts';
export type { EngineReport } from './tensorrt/build/engine-report.ts';
export { type PlanMachine, planFileProblems, planProblems } from './tensorrt/plans/plan-problems.ts';
export { readPlans } from './tensorrt/plans/read-plans.ts';
export type { TensorrtOptions } from './tensorrt/tensorrt-options.ts';
export { formatVerifyReport } from './verify/format-verify-report.ts';
export { type VerifyOptions, verifyPackage } from './verify/verify-package.ts';
export type { VerifyDocument, VerifyReport } from './verify/verify-report.ts';
export { rtcVersion } from './version.ts';
