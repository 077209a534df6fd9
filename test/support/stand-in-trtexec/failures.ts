import { spawn } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import type { OnnxModel, OnnxNode } from '../../../targets/onnx/onnx-model.ts';
import { illegalNodes } from '../../../targets/tensorrt/operators/check-legality.ts';
import type { Call } from './call.ts';
import type { Log } from './log.ts';
import type { StandInSettings } from './settings.ts';

/** Where a build is when it is asked whether to fail. */
export type BuildStage = 'early' | 'parsing' | 'building' | 'writing';

/** Fails at this point of a build if it was told to, and returns the exit code; undefined: the build goes on. */
export async function failInBuild(
  stage: BuildStage,
  call: Call,
  model: OnnxModel | undefined,
  plan = '',
): Promise<number | undefined> {
  const { log, settings, options } = call;
  const save = options.get('saveEngine');
  switch (`${stage} ${settings.fail ?? ''}`) {
    case 'early build:no-gpu':
      log.say('I', '=== Device Information ===');
      log.say('I', 'Cannot find any available devices (GPUs)!');
      // The real one calls exit() here, without a word more.
      return process.exit(1);
    case 'early build:old-driver':
      log.say('I', '=== Device Information ===');
      log.raw(
        2,
        'Cuda failure at /src/samples/common/sampleDevice.cpp:120: CUDA driver version is insufficient for CUDA runtime version\n',
      );
      return process.exit(1);
    case 'early build:garbage':
      log.raw(1, 'lorem ipsum\n[E] [TRT\n&&&& \n[11/31/2026-99:99:99] [?] what\n\n\u0000\u0001\u001b[31m\n');
      log.raw(2, 'dolor sit amet');
      return process.exit(3);
    case 'early build:silent':
      return process.exit(1);
    case 'parsing build:parse-error':
      return parseErrors(call, model!, [blamed(call, model!)]);
    case 'parsing build:two-parse-errors':
      return parseErrors(call, model!, [blamed(call, model!), model!.graph.nodes.length - 1]);
    case 'parsing build:missing-weights':
      log.library('E', 'WeightsContext.cpp:166: Failed to open file: ./model.safetensors');
      return parseFailed(call);
    case 'building build:invalid-utf8':
      log.raw(1, Uint8Array.of(0x5b, 0xff, 0xfe, 0xc3, 0x28, 0x0a, 0xe2, 0x82));
      log.raw(1, '\n');
      return buildFailed(call, 'Error[2]: Error Code 2: Internal Error (\u00fc\u20ac\u{1f600})');
    case 'building build:long-lines':
      log.say('I', 'x'.repeat(3_000_000));
      log.raw(1, 'y'.repeat(3_000_000));
      return buildFailed(call, `Error[2]: Error Code 2: Internal Error (${'z'.repeat(1_000_000)})`);
    case 'building build:many-lines':
      log.raw(1, Array.from({ length: 100_000 }, (_, i) => `[01/01/2026-00:00:00] [I] [TRT] line ${i}\n`).join(''));
      log.raw(2, Array.from({ length: 20_000 }, (_, i) => `[01/01/2026-00:00:00] [E] Error[2]: error ${i}\n`).join(''));
      return buildFailed(call, 'Error[2]: the last one');
    case 'building build:out-of-memory':
      log.say('E', 'Error[1]: [defaultAllocator.cpp::allocate::57] Error Code 1: Cuda Runtime (out of memory)');
      log.library(
        'W',
        'Requested amount of GPU memory (15485030400 bytes) could not be allocated. There may not be enough free memory for allocation to succeed.',
      );
      return buildFailed(
        call,
        `Error[10]: IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any implementation for node {ForeignNode[${named(model!, 0)}...${named(model!, -1)}]}.)`,
      );
    case 'building build:no-implementation':
      return buildFailed(
        call,
        `Error[10]: IBuilder::buildSerializedNetwork: Error Code 10: Internal Error (Could not find any implementation for node ${model!.graph.nodes[blamed(call, model!)]!.name}.)`,
      );
    case 'building build:shapes':
      return buildFailed(
        call,
        `Error[4]: [shapeCompiler.cpp::evaluateShapeChecks::1344] Error Code 4: Internal Error (kOPT values for profile 0 violate shape constraints: ${model!.graph.nodes[blamed(call, model!)]!.name}: ISliceLayer has out of bounds access on axis 1 Out of bounds access for slice.)`,
      );
    case 'building build:timing-cache-miss':
      return buildFailed(
        call,
        'Error[10]: Error Code 10: Internal Error (Timing cache miss with errorOnTimingCacheMiss)',
      );
    case 'building build:uncaught':
      throw new Error('std::bad_alloc');
    case 'building build:killed':
      return dieOf('SIGKILL');
    case 'building build:crash':
      return dieOf('SIGSEGV');
    case 'building build:abort':
      log.raw(2, "trtexec: /src/myelin.cpp:77: void compile(): Assertion `ok' failed.\n");
      return dieOf('SIGABRT');
    case 'building build:hang':
      ignoreSignals();
      startChild(settings, false);
      return new Promise(() => setInterval(() => {}, 1000));
    case 'building build:child':
      startChild(settings, false);
      return undefined;
    case 'building build:escaped-child':
      startChild(settings, true);
      return undefined;
    case 'writing build:partial-plan':
      if (save !== undefined) writeFileSync(save, plan.slice(0, 100));
      return buildFailed(
        call,
        'Error[2]: Error Code 2: Internal Error (Assertion engine != nullptr failed.)',
        plan.slice(0, 100),
      );
    case 'writing build:disk-full':
      if (save !== undefined) writeFileSync(save, plan.slice(0, 100));
      log.say('E', 'Cannot write to FileStreamWriter');
      return buildFailed(
        call,
        'Error[1]: Error Code 1: Serialization (The stream writer returned -1)',
        plan.slice(0, 100),
      );
    default:
      return undefined;
  }
}

/** The same for running an engine. */
export async function failInRun({ log, settings }: Call): Promise<number | undefined> {
  switch (settings.fail) {
    case 'run:crash':
      return dieOf('SIGSEGV');
    case 'run:hang':
      ignoreSignals();
      return new Promise(() => setInterval(() => {}, 1000));
    case 'run:out-of-memory':
      log.say(
        'E',
        'Error[2]: [executionContext.cpp::initializeExecutionContext::597] Error Code 2: OutOfMemory (Requested size was 9876543210 bytes.)',
      );
      log.say('E', 'Unable to create execution context for inference stream 0. ');
      log.say('E', 'Inference set up failed');
      return 1;
    default:
      return undefined;
  }
}

/** The same where only help, and with it the version, is asked for. */
export async function failInHelp(settings: StandInSettings, log: Log): Promise<number | undefined> {
  switch (settings.fail) {
    case 'help:missing-library':
      log.raw(
        2,
        'trtexec: error while loading shared libraries: libcudart.so.13: cannot open shared object file: No such file or directory\n',
      );
      return 127;
    case 'help:garbage':
      log.raw(1, 'usage: something-else [options]\n');
      return 0;
    case 'help:hang':
      ignoreSignals();
      return new Promise(() => setInterval(() => {}, 1000));
    case 'help:crash':
      return dieOf('SIGILL');
    case 'help:unknown-flag':
      log.banner('RUNNING');
      log.say('E', 'Unknown option: --help ');
      return 1;
    default:
      return undefined;
  }
}

function ignoreSignals(): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
}

function dieOf(signal: NodeJS.Signals): Promise<never> {
  process.kill(process.pid, signal);
  return new Promise(() => setInterval(() => {}, 1000));
}

/** A process that outlives this one unless somebody ends it, ignores SIGTERM, and holds stdout and stderr. */
function startChild(settings: StandInSettings, detached: boolean): void {
  const child = spawn('/bin/sh', ['-c', "trap '' TERM INT HUP; while :; do sleep 0.2; done"], {
    stdio: ['ignore', 'inherit', 'inherit'],
    detached,
  });
  child.unref();
  if (settings.pids !== undefined) appendFileSync(settings.pids, `${child.pid}\n`);
}

function blamed({ settings }: Call, { graph }: OnnxModel): number {
  return settings.node ?? graph.nodes.length >> 1;
}

function named({ graph }: OnnxModel, at: number): string {
  return graph.nodes.at(at)?.outputs[0] ?? '';
}

const unknownOperator =
  'onnxOpCheckers.cpp:838 In function checkFallbackPluginImporter:\n[6] creator && "Plugin not found, are the plugin name, version, and namespace correct?"';

/**
 * Refuses what the parser of the version would, by rtc's own list of operators: so that a graph of another version does not
 * build in tests either. Undefined: it is taken.
 */
export function refuseIllegal(call: Call, model: OnnxModel): number | undefined {
  const [major, minor] = call.version;
  const [illegal] = illegalNodes(model, { major, minor });
  if (illegal === undefined) return undefined;
  const at = model.graph.nodes.findIndex(({ name, outputs }) => name === illegal.node || outputs[0] === illegal.node);
  const said = `onnxOpCheckers.cpp:1 In function check${illegal.op}:\n[8] ${illegal.message}`;
  if (at >= 0) return parseErrors(call, model, [at], said);
  call.log.library('E', `ModelImporter.cpp:1054: ERROR: ${said}`);
  return parseFailed(call);
}

/** The parser's complaint about a node that no importer knows, with the node in protobuf's text form in between. */
function parseErrors(call: Call, { graph }: OnnxModel, nodes: readonly number[], said = unknownOperator): number {
  const { log } = call;
  for (const number of nodes) {
    const node = graph.nodes[number]!;
    log.library(
      'E',
      `ModelImporter.cpp:1048: While parsing node number ${number} [${node.opType} -> "${node.outputs[0]}"]:`,
    );
    log.library('E', `ModelImporter.cpp:1050: --- Begin node ---\n${nodeText(node)}`);
    log.library('E', 'ModelImporter.cpp:1051: --- End node ---');
    log.library('E', `ModelImporter.cpp:1054: ERROR: ${said}`);
  }
  return parseFailed(call);
}

function parseFailed({ log }: Call): number {
  log.say('E', 'Failed to parse onnx file');
  log.say('I', 'Finished parsing network model. Parse time: 0.0112');
  log.say('E', 'Parsing model failed');
  log.say('E', 'Failed to create engine from model or file.');
  log.say('E', 'Engine set up failed');
  return 1;
}

/**
 * The library built nothing. Up to 10.12 trtexec says so and ends with 1. From 10.13 to 11.1 it does not look at what the
 * library returns where an engine is saved (by its sources; never seen): it goes on with whatever was written, and ends
 * with 0.
 * @param written what stands in the engine's file
 */
export function buildFailed({ log, options, version: [major, minor] }: Call, error: string, written = ''): number {
  log.say('E', error);
  const save = options.get('saveEngine');
  if (save === undefined || major < 10 || (major === 10 && minor < 13)) {
    log.say('E', 'Engine could not be created from network');
    log.say('E', 'Building engine failed');
    log.say('E', 'Failed to create engine from model or file.');
    log.say('E', 'Engine set up failed');
    return 1;
  }
  writeFileSync(save, written);
  log.say('I', `Created engine with size: ${written.length / 2 ** 20} MiB`);
  log.say('I', 'Engine built in 0.0123 sec.');
  log.say(
    'E',
    'Error[1]: IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion failed.)',
  );
  log.say('E', 'Engine deserialization failed');
  log.say('I', 'Skipped inference phase since --skipInference is added.');
  return 0;
}

function nodeText({ inputs, outputs, name, opType, domain, attributes }: OnnxNode): string {
  const lines = [
    ...inputs.map((input) => `input: "${input}"`),
    ...outputs.map((output) => `output: "${output}"`),
    `name: "${name}"`,
    `op_type: "${opType}"`,
    ...Object.entries(attributes).map(
      ([key, { kind }]) => `attribute {\n  name: "${key}"\n  type: ${kind.toUpperCase()}\n}`,
    ),
    ...(domain === '' ? [] : [`domain: "${domain}"`]),
  ];
  return `${lines.join('\n')}\n`;
}
