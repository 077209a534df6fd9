import type { CommandLine } from './command-line.ts';
import type { Log } from './log.ts';
import type { StandInSettings } from './settings.ts';

/** One call of the stand-in, its command line read. */
export interface Call extends Extract<CommandLine, { kind: 'options' }> {
  readonly settings: StandInSettings;
  readonly log: Log;
  readonly argv: readonly string[];
  readonly version: readonly [number, number, number];
}

/** As plans are stamped: `11.1.0`. */
export function versionText({ version }: Call): string {
  return version.join('.');
}

export function computeCapability({ settings }: Call): string {
  return settings.computeCapability ?? '9.0';
}

/** What trtexec says before it does anything: its options, the GPU and its version. */
export function sayMachine(call: Call): void {
  const { log, settings } = call;
  log.say('I', '=== Model Options ===');
  log.say('I', `Format: ${call.options.has('onnx') ? 'ONNX' : '*'}`);
  log.say('I', `Model: ${call.options.get('onnx') ?? ''}`);
  log.say('I', 'Output:');
  log.say('I', '=== Build Options ===');
  log.say('I', `Save engine: ${call.options.get('saveEngine') ?? ''}`);
  log.say('I', `Load engine: ${call.options.get('loadEngine') ?? ''}`);
  log.say('I', '=== Device Information ===');
  log.say('I', 'Available Devices: ');
  const gpu = settings.gpu ?? 'NVIDIA Stand-In 80GB';
  log.say('I', `  Device 0: "${gpu}" UUID: GPU-00000000-0000-0000-0000-000000000000`);
  log.say('I', `Selected Device: ${gpu}`);
  log.say('I', 'Selected Device ID: 0');
  log.say('I', `Compute Capability: ${computeCapability(call)}`);
  log.say('I', 'SMs: 132');
  log.say('I', 'Device Global Memory: 81559 MiB');
  log.say('I', '');
  log.say('I', `TensorRT version: ${versionText(call)}`);
  log.say('I', 'Loading standard plugins');
}
