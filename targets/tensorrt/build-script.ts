import { scriptFunctions } from './build-script/script-functions.ts';
import { scriptTools } from './build-script/script-tools.ts';
import { quoteSh } from './trtexec/quote-sh.ts';
import { formatVersion, type TensorrtVersion } from './versions.ts';

/** An engine as build.sh is to make it. */
export interface ScriptedEngine {
  readonly graph: string;
  readonly graphSha256: string;
  /** Files in the package that the graph's weights are in. */
  readonly weights: readonly string[];
  readonly plan: string;
  /** Names of its profiles, in order. */
  readonly profiles: readonly string[];
  /** Where trtexec writes the engine; one of `arguments` says so. */
  readonly saveTo: string;
  /** What trtexec is called with, in the folder of the package. */
  readonly arguments: readonly string[];
  /** The same with files under the names that they get: what the stamp says. */
  readonly settledArguments: readonly string[];
}

export interface BuildScriptOptions {
  /** Name of the model. */
  readonly name: string;
  /** Version that graphs were written for: older ones are refused. */
  readonly version: TensorrtVersion;
  readonly engines: readonly ScriptedEngine[];
  readonly versionCompatible: boolean;
  readonly hardwareCompatibility: 'none' | 'ampere+' | 'sameComputeCapability';
  /** The timing cache beside the script, and the file that trtexec works on. */
  readonly timingCache: { readonly file: string; readonly workFile: string };
  /** What the timing cache has to be; it is left as it is then. */
  readonly timingCacheSha256?: string | undefined;
}

/** Name of the script in a package. */
export const buildScriptName = 'build.sh';

/**
 * build.sh: makes the engines of a package with trtexec and a POSIX shell, and does what `rtc compile` does: an engine is
 * built aside, takes its name when it is whole, and gets a stamp, `<plan>.json`. What is there and still fits is left
 * alone: it is of this graph, these weights, this TensorRT and this GPU. One at a time builds in a folder; a lock says
 * who. The same on every machine.
 */
export function buildScript(options: BuildScriptOptions): string {
  const { name, version, engines } = options;
  const files = [...new Set(engines.flatMap(({ weights }) => weights))].sort();
  const release = formatVersion({ major: version.major, minor: version.minor });
  return `#!/bin/sh
# Builds the engines of ${name.replaceAll(/[^\w.-]/g, '_')} on the machine whose GPU is to run them. Written by rtc compile.
# Needs TensorRT ${release} or later with its trtexec, and a POSIX shell; ./${buildScriptName} --help tells more.
set -u

usage() {
  cat <<'END'
Usage: ./${buildScriptName} [--force]

Builds these engines with trtexec, on the machine whose GPU is to run them:
${engines.map(({ plan, graph, profiles }) => `  ${plan} from ${graph}, profiles ${profiles.join(', ')}`).join('\n')}

An engine takes its name when it is whole; <engine>.json beside it then says what it was
built with, and its log is kept. Engines that are there and fit are left alone.

  --force   build all of them again
  --help    show this help

TRTEXEC names the trtexec to use; else it is looked for on PATH, in the bin folders of
TENSORRT_HOME and TENSORRT_ROOT, and in the usual places. It has to be of TensorRT ${release}
or later.

Exit codes: 0 done, 1 a file of the package is not as it was written, or another
${buildScriptName} is at work, 2 wrong usage, 4 trtexec is missing, too old, or failed,
130 interrupted.
END
}

fail() {
  code=$1
  shift
  printf 'build.sh: %s\\n' "$@" >&2
  exit "$code"
}

force=no
for argument in "$@"; do
  case $argument in
    --force) force=yes ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) fail 2 "there is no option \\"$argument\\"; --help shows what there is" ;;
  esac
done

${scriptTools(version, buildScriptName)}
${scriptFunctions(options, buildScriptName)}
${files.map((file, i) => `weights_${i + 1}=$(weighed ${quoteSh(file)} ${quoteSh(JSON.stringify(file))}) || exit`).join('\n')}

${engines.map((engine) => call(engine, files)).join('\n\n')}
`;
}

/** @param files what weights are in, each known to the script by its number */
function call(engine: ScriptedEngine, files: readonly string[]): string {
  const { plan, graph, graphSha256, profiles, saveTo } = engine;
  const stamped = [JSON.stringify(profiles), JSON.stringify(engine.settledArguments)];
  const known = engine.weights.map((file) => `$weights_${files.indexOf(file) + 1}`);
  // As JSON.stringify has it on many lines, and the script on one.
  const weights = known.length === 0 ? "'{}'" : `"{ ${known.join(', ')} }"`;
  const words = [
    ...[plan, graph, graphSha256, ...stamped].map(quoteSh),
    weights,
    ...[saveTo, ...engine.arguments].map(quoteSh),
  ];
  return `build ${words.join(' \\\n  ')}`;
}
