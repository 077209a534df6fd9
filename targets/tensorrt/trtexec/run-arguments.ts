import { invariant } from '../../../ir/invariant.ts';
import { atLeast, type TensorrtVersion } from '../versions.ts';
import { nameProblem, quotedName } from './names.ts';
import { shapeList } from './shape-arguments.ts';

/** One call of trtexec that runs an engine. Paths are relative to the folder that it runs in, or absolute. */
export interface RunJob {
  readonly version: TensorrtVersion;
  readonly plan: string;
  /** Number of the profile. */
  readonly profile: number;
  /** Sizes of every input whose sizes are not fixed: trtexec takes 1 for those it is not told. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** File by input, little-endian numbers in C order; others are made up. */
  readonly loadInputs?: Readonly<Record<string, string>> | undefined;
  /** Where outputs go, as JSON. */
  readonly exportOutput?: string | undefined;
  /** Where the times of all iterations go, as JSON. */
  readonly exportTimes?: string | undefined;
  /** At least so many; 10 by default. */
  readonly iterations?: number | undefined;
  /** Milliseconds; 200 by default. */
  readonly warmUp?: number | undefined;
  /** Seconds, at least; 3 by default. */
  readonly duration?: number | undefined;
  /** The engine is version compatible: it has code in it, which has to be allowed. */
  readonly versionCompatible?: boolean | undefined;
}

/**
 * What trtexec is called with to run an engine. Times mean the same in all versions: those of the engine alone, inputs
 * and outputs staying on the GPU (they are copied once before and once behind, so that inputs are what was loaded and
 * outputs are there), one CUDA graph for each call, and a host that spins while it waits. From 11.0 on that is how
 * trtexec does it; until 10.16 each has a flag.
 */
export function runArguments(job: RunJob): readonly string[] {
  const { version, plan, profile, shapes, loadInputs = {}, iterations, warmUp, duration } = job;
  const inputs = Object.entries(loadInputs);
  return [
    `--loadEngine=${plan}`,
    `--useProfile=${profile}`,
    ...(Object.keys(shapes).length === 0 ? [] : [`--shapes=${shapeList(Object.entries(shapes))}`]),
    ...(inputs.length === 0 ? [] : [`--loadInputs=${inputs.map(loadInput).join(',')}`]),
    ...(atLeast(version, 11, 0) ? [] : ['--noDataTransfers', '--useCudaGraph', '--useSpinWait']),
    ...(job.versionCompatible ? ['--versionCompatible'] : []),
    ...(iterations === undefined ? [] : [`--iterations=${iterations}`]),
    ...(warmUp === undefined ? [] : [`--warmUp=${warmUp}`]),
    ...(duration === undefined ? [] : [`--duration=${duration}`]),
    ...(job.exportOutput === undefined ? [] : [`--exportOutput=${job.exportOutput}`]),
    ...(job.exportTimes === undefined ? [] : [`--exportTimes=${job.exportTimes}`]),
  ];
}

function loadInput([name, file]: readonly [string, string]): string {
  const problem = nameProblem(name);
  invariant(problem === undefined, `inputs have names that trtexec can be told, and "${name}" ${problem}`);
  invariant(!/[,']/.test(file), `files of inputs have neither comma nor quote: ${file}`);
  // Quoted, the name ends where it ends, and the file may have colons.
  return file.includes(':') ? `'${name}':${file}` : `${quotedName(name)}:${file}`;
}
