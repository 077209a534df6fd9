import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { openNodes } from '../../../compiler/verify/node-decoder.ts';
import { openOnnxRuntime } from '../../../compiler/verify/onnx-runtime-decoder.ts';
import { byteLength, type DType } from '../../../ir/dtype.ts';
import { countOf, makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../../ir/tensor-bytes.ts';
import { dtypeOf } from '../../../targets/onnx/execute/dtype-of.ts';
import type { OnnxModel } from '../../../targets/onnx/onnx-model.ts';
import { decodeModel } from '../../../targets/onnx/proto.ts';
import { type Call, computeCapability, sayMachine, versionText } from './call.ts';
import { failInRun } from './failures.ts';
import { decodePlan, modelOf, type StandInPlan } from './plan.ts';
import { exportLayerInfo, exportOutput, exportTimes, sayPerformance } from './reports.ts';
import type { StandInSettings } from './settings.ts';

/** `--loadEngine …`: runs the model behind the plan; returns the exit code. */
export async function runEngine(call: Call): Promise<number> {
  const { log, options, settings } = call;
  sayMachine(call);
  const path = options.get('loadEngine')!;
  const plan = openPlan(call, path);
  if (plan === undefined) return 1;
  if (options.has('getPlanVersionOnly')) {
    log.say('I', `Plan was created with TensorRT version ${plan.version}`);
    return 0;
  }
  const early = await failInRun(call);
  if (early !== undefined) return early;
  const onnx = modelOf(plan, path);
  if (onnx === undefined) throw new Error(`the stand-in finds no ${plan.onnx} that it made ${path} of`);
  const decoded = decodeModel(readFileSync(onnx), onnx);
  if (!decoded.ok) throw new Error('the model behind the plan cannot be read');
  const { graph } = decoded.value;
  const layers = options.get('exportLayerInfo');
  if (layers !== undefined) exportLayerInfo(layers, graph);
  if (options.has('skipInference')) {
    log.say('I', 'Skipped inference phase since --skipInference is added.');
    return 0;
  }
  const feeds = setUp(call, plan, graph.inputs);
  if (feeds === undefined) {
    log.say('E', 'Inference set up failed');
    return 1;
  }
  const inputs = [...feeds].map(([name, { dtype, shape }]) => ({ name, dtype, dims: shape }));
  const types = [...graph.inputs, ...graph.outputs].map(({ elementType }) => elementType);
  // ONNX Runtime has no bf16 on a CPU; the executor of rtc rounds node by node.
  const opened = types.includes('BFLOAT16')
    ? await openNodes(onnx, inputs)
    : await openOnnxRuntime(onnx, inputs, { threads: 1 });
  if (!opened.ok) throw new Error(opened.diagnostics.map(({ message }) => message).join(' '));
  log.say('I', 'Starting inference');
  const used = new Map(opened.value.inputs.map(({ name }) => [name, feeds.get(name)!]));
  const iterations = Math.min(Number(options.get('iterations') ?? 10), 20);
  const times: number[] = [];
  let outputs: ReadonlyMap<string, Tensor> = new Map();
  for (let i = 0; i < Math.max(1, iterations); i++) {
    const begin = performance.now();
    outputs = await opened.value.run(used);
    times.push(settings.computeMs ?? performance.now() - begin);
  }
  sayPerformance(log, times);
  const timesFile = options.get('exportTimes');
  if (timesFile !== undefined) exportTimes(timesFile, times);
  const outputFile = options.get('exportOutput');
  if (outputFile !== undefined) exportOutput(outputFile, perturbed(outputs, settings));
  return 0;
}

function perturbed(outputs: ReadonlyMap<string, Tensor>, { perturb }: StandInSettings): ReadonlyMap<string, Tensor> {
  const tensor = perturb && outputs.get(perturb.output);
  if (tensor === undefined) return outputs;
  const data = tensor.data.map((x) => x * perturb!.factor);
  return new Map([...outputs, [perturb!.output, { ...tensor, data }]]);
}

function openPlan(call: Call, path: string): StandInPlan | undefined {
  const { log } = call;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    log.say('E', `Error opening engine file: ${path}`);
    log.say('E', 'Failed to create engine from model or file.');
    log.say('E', 'Engine set up failed');
    return undefined;
  }
  log.say('I', 'Engine loaded in 0.00123 sec.');
  log.say('I', `Loaded engine with size: ${(text.length / 2 ** 20).toPrecision(6)} MiB`);
  const plan = decodePlan(text);
  const refuse = (...errors: readonly string[]) => {
    for (const error of errors) log.say('E', error);
    log.say('E', 'Engine deserialization failed');
    log.say('E', 'Got invalid engine!');
    log.say('E', 'Inference set up failed');
    return undefined;
  };
  const inside = 'IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion';
  if (plan === undefined)
    return refuse(`Error[1]: ${inside} magicTagRead == kMAGIC_TAG failed.Magic tag does not match)`);
  if (plan.version !== versionText(call) && !plan.versionCompatible)
    return refuse(
      `Error[1]: ${inside} stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current Version: 245, Serialized Engine Version: 240)`,
    );
  if (plan.computeCapability !== computeCapability(call) && !plan.hardwareCompatible)
    return refuse(
      `Error[6]: IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan file is generated on an incompatible device, expecting compute ${computeCapability(call)} got compute ${plan.computeCapability}, please rebuild.)`,
    );
  log.say('I', 'Engine deserialized in 0.00234 sec.');
  return plan;
}

/** A tensor for every input; undefined, and said, where shapes or files do not fit. */
function setUp(
  call: Call,
  plan: StandInPlan,
  inputs: OnnxModel['graph']['inputs'],
): ReadonlyMap<string, Tensor> | undefined {
  const { log, shapes, loadInputs, useProfile: number } = call;
  const profile = plan.profiles[number];
  if (profile === undefined && number >= Math.max(1, plan.profiles.length)) {
    log.say('E', `Selected profile index ${number} exceeds the number of profiles that the engine holds. `);
    return undefined;
  }
  const known = new Set(inputs.map(({ name }) => name));
  for (const [flag, names] of [
    ['--shapes', Object.keys(shapes)],
    ['--loadInputs', Object.keys(loadInputs)],
  ] as const) {
    const unknown = names.find((name) => !known.has(name));
    if (unknown === undefined) continue;
    log.say(
      'E',
      `Cannot find input tensor with name "${unknown}" in the engine bindings! Please make sure the input tensor names are correct.`,
    );
    log.say('E', `Invalid tensor names found in ${flag} flag.`);
    return undefined;
  }
  const feeds = new Map<string, Tensor>();
  for (const { name, elementType, dims = [] } of inputs) {
    const dtype = elementType === undefined ? undefined : dtypeOf(elementType);
    if (dtype === undefined) throw new Error(`the stand-in cannot make a ${elementType}`);
    const shape = shapes[name] ?? profile?.[name]?.opt ?? dims.map((dim) => (typeof dim === 'number' ? dim : 1));
    if (!inProfile(shape, dims, profile?.[name]?.min, profile?.[name]?.max)) {
      log.say(
        'E',
        `Error[3]: IExecutionContext::setInputShape: Error Code 3: API Usage Error (Parameter check failed, condition: engineDims.d[i] == dims.d[i]. Runtime dimension does not satisfy any optimization profile for ${name}: ${shape.join('x')}.)`,
      );
      return undefined;
    }
    const file = loadInputs[name];
    log.say(
      'I',
      file === undefined
        ? `Using random values for input ${name}`
        : `Using values loaded from ${file} for input ${name}`,
    );
    feeds.set(name, file === undefined ? someValues(dtype, shape) : loadValues(file, dtype, shape));
  }
  return feeds;
}

function inProfile(
  shape: readonly number[],
  dims: readonly (number | string | undefined)[],
  min: readonly number[] | undefined,
  max: readonly number[] | undefined,
): boolean {
  if (shape.length !== dims.length) return false;
  return shape.every((size, i) => {
    const dim = dims[i];
    if (typeof dim === 'number') return size === dim;
    return size >= (min?.[i] ?? size) && size <= (max?.[i] ?? size);
  });
}

function loadValues(file: string, dtype: DType, shape: readonly number[]): Tensor {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch {
    throw new Error(`Cannot open file ${file}!`);
  }
  const size = byteLength(dtype, countOf(shape));
  if (bytes.length !== size)
    throw new Error(
      `Unexpected file size for input file: ${file}. Note: Input binding size is: ${size} bytes but the file size is ${bytes.length} bytes. Double check the size and datatype of the provided data.`,
    );
  return makeTensor(dtype, shape, decodeTensor(dtype, bytes, countOf(shape)));
}

/** Where trtexec takes random numbers; zeros are valid as ids, rows and pages, too. */
function someValues(dtype: DType, shape: readonly number[]): Tensor {
  return makeTensor(dtype, shape);
}
