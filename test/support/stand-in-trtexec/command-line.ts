import { type ReadProfile, readTrtexecCommandLine } from '../trtexec-command-line.ts';

/** A command line as trtexec of a version reads it, or why that one refuses it. */
export type CommandLine =
  | { readonly kind: 'help' }
  | { readonly kind: 'refused'; readonly reason: string }
  | {
      readonly kind: 'options';
      /** By name without dashes; a boolean is an empty text. */
      readonly options: ReadonlyMap<string, string>;
      readonly profiles: readonly ReadProfile[];
      readonly shapes: Readonly<Record<string, readonly number[]>>;
      readonly useProfile: number;
      readonly loadInputs: Readonly<Record<string, string>>;
      readonly attentions: readonly string[];
      readonly warnings: readonly string[];
    };

/** Reads a command line as trtexec `major.minor` does. */
export function readCommandLine(
  args: readonly string[],
  [major, minor]: readonly [number, number, number],
): CommandLine {
  const reading = readTrtexecCommandLine(args, { major, minor });
  if (!reading.ok) return { kind: 'refused', reason: reading.reason };
  const { help, flags, ...rest } = reading.commandLine;
  if (help) return { kind: 'help' };
  const options = new Map([...flags].map(([flag, value]) => [flag.slice(2), value === true ? '' : String(value)]));
  if (!options.has('onnx') && !options.has('loadEngine'))
    return { kind: 'refused', reason: 'Model missing or format not recognized' };
  return { kind: 'options', options, ...rest };
}
