import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OnnxModel } from '../../../targets/onnx/onnx-model.ts';
import { decodeModel } from '../../../targets/onnx/proto.ts';
import { type Call, computeCapability, sayMachine, versionText } from './call.ts';
import { buildFailed, failInBuild, refuseIllegal } from './failures.ts';
import { encodePlan, sha256 } from './plan.ts';

/** `--onnx … --saveEngine …`; returns the exit code. */
export async function buildEngine(call: Call): Promise<number> {
  const { log, options, settings } = call;
  const early = await failInBuild('early', call, undefined);
  if (early !== undefined) return early;
  sayMachine(call);
  const file = options.get('onnx')!;
  log.say('I', 'Start parsing network model.');
  const model = readModel(file);
  if (model === undefined) {
    log.library('E', `ModelImporter.cpp:1010: Failed to parse ONNX model from file: ${file}!`);
    log.say('E', 'Failed to parse onnx file');
    return giveUp(call);
  }
  const { graph, opsets } = model;
  log.library('I', '----------------------------------------------------------------');
  log.library('I', `Input filename:   ${file}`);
  log.library('I', `Opset version:    ${opsets.find(({ domain }) => domain === '')?.version ?? 0}`);
  log.library('I', `Producer name:    ${model.producerName}`);
  log.library('I', '----------------------------------------------------------------');
  const parsing = (await failInBuild('parsing', call, model)) ?? refuseIllegal(call, model);
  if (parsing !== undefined) return parsing;
  log.say('I', 'Finished parsing network model. Parse time: 0.0173271');
  if (!setShapes(call, graph.inputs)) return enginePartFailed(call);
  const cached = readTimingCache(call);
  if (settings.buildMs !== undefined) await sleep(settings.buildMs);
  if (options.has('errorOnTimingCacheMiss') && !cached?.split('\n').includes(keyOf(call, file))) {
    const { name = '' } = graph.nodes[0] ?? {};
    return buildFailed(
      call,
      `Error[10]: IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Timing cache miss for ${name})`,
    );
  }
  const building = await failInBuild('building', call, model);
  if (building !== undefined) return building;
  log.library('I', `Detected ${graph.inputs.length} inputs and ${graph.outputs.length} output network tensors.`);
  log.library('I', 'Engine generation completed in 0.0123 seconds.');
  const plan = encodePlan({
    version: versionText(call),
    computeCapability: computeCapability(call),
    versionCompatible: options.has('versionCompatible'),
    hardwareCompatible: options.has('hardwareCompatibilityLevel'),
    onnx: file,
    onnxFolder: process.cwd(),
    onnxSha256: sha256(readFileSync(file)),
    arguments: call.argv,
    profiles: call.profiles,
  });
  const writing = await failInBuild('writing', call, model, plan);
  if (writing !== undefined) return writing;
  const save = options.get('saveEngine');
  if (save !== undefined && settings.fail !== 'build:no-plan')
    writeFileSync(save, settings.fail === 'build:empty-plan' ? '' : plan);
  const size = `Created engine with size: ${(plan.length / 2 ** 20).toPrecision(6)} MiB`;
  const built = 'Engine built in 0.0234 sec.';
  // In the order in which 10.0 says them, and the later ones.
  for (const text of call.version[0] === 10 && call.version[1] === 0 ? [built, size] : [size, built])
    log.say('I', text);
  const cache = options.get('timingCacheFile');
  // Merged, as the real one does: what was measured for other models stays.
  const measured = new Set([...(cached?.split('\n') ?? []), keyOf(call, file)]);
  if (cache !== undefined) writeFileSync(cache, `${[...measured].join('\n')}\n`);
  if (settings.fail === 'build:truncated-plan' && save !== undefined) {
    // The last bytes did not fit on the disk: trtexec sees it when it reads the plan back, says so, and exits with 0.
    writeFileSync(save, plan.slice(0, plan.length / 2));
    log.say(
      'E',
      'Error[1]: IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion failed.)',
    );
    log.say('E', 'Engine deserialization failed');
  } else log.say('I', 'Engine deserialized in 0.00345 sec.');
  log.say('I', 'Skipped inference phase since --skipInference is added.');
  return 0;
}

function readModel(file: string): OnnxModel | undefined {
  if (!existsSync(file)) return undefined;
  const decoded = decodeModel(readFileSync(file), file);
  return decoded.ok ? decoded.value : undefined;
}

function giveUp(call: Call): number {
  call.log.say('I', 'Finished parsing network model. Parse time: 0.00123');
  call.log.say('E', 'Parsing model failed');
  return enginePartFailed(call);
}

function enginePartFailed({ log }: Call): number {
  log.say('E', 'Failed to create engine from model or file.');
  log.say('E', 'Engine set up failed');
  return 1;
}

/** Stands in for measurements: the same model, version and GPU take the same kernels. */
function keyOf(call: Call, file: string): string {
  return `stand-in timing cache ${versionText(call)} ${computeCapability(call)} ${sha256(readFileSync(file))}`;
}

function readTimingCache({ log, options }: Call): string | undefined {
  const file = options.get('timingCacheFile');
  if (file === undefined) {
    log.library('I', 'Local timing cache in use. Profiling results in this builder pass will not be stored.');
    return undefined;
  }
  // It stays; trtexec only ever locks it.
  writeFileSync(`${file}.lock`, '');
  if (!existsSync(file)) {
    log.library('W', `Could not read cache from: ${file}. A new cache will be generated and written.`);
    return undefined;
  }
  const text = readFileSync(file, 'utf8');
  log.library('I', `Loaded ${text.length} bytes of cache from file: ${file}`);
  return text.trimEnd();
}

/** Checks what the shape flags say against the graph's inputs, in trtexec's words. */
function setShapes(call: Call, inputs: OnnxModel['graph']['inputs']): boolean {
  const { log } = call;
  const known = new Set(inputs.map(({ name }) => name));
  for (const profile of call.profiles) {
    const unknown = Object.keys(profile).find((name) => !known.has(name));
    if (unknown === undefined) continue;
    log.say(
      'E',
      `Cannot find input tensor with name "${unknown}" in the network inputs! Please make sure the input tensor names are correct.`,
    );
    return false;
  }
  for (const { name, dims } of inputs) {
    if (dims === undefined || dims.every((dim) => typeof dim === 'number')) continue;
    for (const [index, profile] of call.profiles.entries()) {
      let range = profile[name];
      if (range === undefined) {
        const ones = dims.map((dim) => (typeof dim === 'number' ? dim : 1));
        log.say(
          'W',
          `Dynamic dimensions required for input: ${name}, but no shapes were provided. Automatically overriding shape to: ${ones.join('x')}`,
        );
        range = { min: ones, opt: ones, max: ones };
      }
      const { min, opt, max } = range;
      const fits = (sizes: readonly number[]) =>
        sizes.length === dims.length && dims.every((dim, i) => typeof dim !== 'number' || dim === sizes[i]);
      const ordered = min.every((size, i) => size <= opt[i]! && opt[i]! <= max[i]!);
      if (![min, opt, max].every(fits) || !ordered) {
        log.say(
          'E',
          `Error[4]: IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (Specified optimization profiles must satisfy MIN<=OPT<=MAX and the dimensions of ${name} for profile ${index}.)`,
        );
        log.say('E', 'Required optimization profile is invalid');
        return false;
      }
      log.say(
        'I',
        `Set shape of input tensor ${name} for optimization profile ${index} to: MIN=${min.join('x')} OPT=${opt.join('x')} MAX=${max.join('x')}`,
      );
    }
  }
  return true;
}
