import { quoteSh } from './trtexec/quote-sh.ts';
import { formatVersion, type TensorrtVersion } from './versions.ts';

/** An engine as build.sh is to make it. */
export interface ScriptedEngine {
  readonly graph: string;
  readonly graphSha256: string;
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
 * built aside, takes its name when trtexec ends with exit code 0, and gets a stamp, `<plan>.json`. What is there and
 * still fits is left alone. The same on every machine.
 */
export function buildScript(options: BuildScriptOptions): string {
  const { name, version, engines, timingCache, timingCacheSha256, versionCompatible, hardwareCompatibility } = options;
  const number = version.major * 10_000 + version.minor * 100;
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

TRTEXEC names the trtexec to use; else it is looked for on PATH and in the usual places.
It has to be of TensorRT ${release} or later.

Exit codes: 0 done, 1 a file of the package is not as it was written, 2 wrong usage,
4 trtexec is missing, too old, or failed, 130 interrupted.
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

# Before the folder changes: the path may be relative.
trtexec=\${TRTEXEC:-}
if [ -n "$trtexec" ]; then
  found=$(command -v -- "$trtexec") || fail 4 "TRTEXEC is \\"$trtexec\\", which is no program"
  case $found in
    /*) trtexec=$found ;;
    *) trtexec=$(pwd)/$found ;;
  esac
elif ! trtexec=$(command -v trtexec); then
  for place in /usr/src/tensorrt/bin /opt/tensorrt/bin /usr/local/tensorrt/bin /opt/TensorRT/bin; do
    if [ -x "$place/trtexec" ]; then
      trtexec=$place/trtexec
      break
    fi
  done
fi
[ -n "$trtexec" ] || fail 4 'there is no trtexec on PATH or in the usual places' \\
  'it comes with the tar, the deb and the container of TensorRT, not with its Python package' \\
  "name it: TRTEXEC=/path/to/trtexec ./${buildScriptName}"

CDPATH='' cd -- "$(dirname -- "$0")" || exit 1

if command -v sha256sum >/dev/null 2>&1; then
  sha256() { sha256sum <"$1" | cut -c 1-64; }
elif command -v shasum >/dev/null 2>&1; then
  sha256() { shasum -a 256 <"$1" | cut -c 1-64; }
else
  fail 1 'there is neither sha256sum nor shasum to check files with'
fi

# The first line that trtexec prints, whatever it is asked: [TensorRT v101600]
version=$("$trtexec" --help 2>&1 | sed -n 's/.*\\[TensorRT v\\([0-9][0-9]*\\)\\].*/\\1/p' | sed 1q)
[ -n "$version" ] || fail 4 "\\"$trtexec\\" does not say which version of TensorRT it is"
[ "$version" -ge ${number} ] ||
  fail 4 "\\"$trtexec\\" is of TensorRT v$version, and these graphs are written for ${release} or later" \\
    'compile the model again with --tensorrt-version, or use a later trtexec'
tensorrt=$((version / 10000)).$((version / 100 % 100)).$((version % 100))

# Without what would end a word in JSON.
plain() { tr -cd '[:print:]' | tr -d '\\042\\134'; }
device=$(nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv,noheader 2>/dev/null | sed 1q)
smi_gpu=$(printf '%s' "$device" | cut -d , -f 1 | sed 's/^ *//; s/ *$//' | plain)
smi_capability=$(printf '%s' "$device" | cut -d , -f 2 | tr -cd '0-9.')
driver=$(printf '%s' "$device" | cut -d , -f 3 | tr -cd '0-9.')

child=
saving=
clean() {
  [ -z "$saving" ] || rm -f -- "$saving"
  rm -f -- ${quoteSh(timingCache.workFile)} ${quoteSh(`${timingCache.workFile}.lock`)} stamp.partial
}
interrupted() {
  trap '' INT TERM HUP
  if [ -n "$child" ]; then
    kill "$child" 2>/dev/null
    wait "$child" 2>/dev/null
  fi
  clean
  printf 'build.sh: interrupted\\n' >&2
  exit 130
}
trap interrupted INT TERM HUP

# Whether an engine is there, whole, and fits this machine: $1 plan, $2 SHA-256 of the graph, $3 arguments as JSON
fits() {
  [ -s "$1" ] || return 1
  if [ -f "$1.json" ]; then
    said=$(cat -- "$1.json")
    asked="\\"arguments\\": $3"
  else
    # Of engines that rtc compile built, all at once, rtc.json tells.
    said=$(sed -n '/^  "plans": \\[$/,/^  \\]/p' rtc.json)
    asked=
  fi
  # Of a GPU that cannot be asked nothing is known.
  here=
  [ -z "$smi_gpu" ] || here="\\"gpu\\": \\"$smi_gpu\\""
  sum=$(sha256 "$1")
  for part in "\\"sha256\\": \\"$sum\\"" "\\"graphSha256\\": \\"$2\\"" "\\"tensorrt\\": \\"$tensorrt\\"" "$here" "$asked"; do
    case $said in
      *"$part"*) ;;
      *) return 1 ;;
    esac
  done
}

# Whether trtexec saved what it says it built; it prints MiB with six digits
whole() {
  [ -s "$saving" ] || return 1
  # From 10.13 on trtexec exits with 0 when a build has failed, but cannot read back what it has saved.
  ! grep -q 'Engine deserialization failed' -- "$log" || return 1
  stated=$(sed -n 's/.*Created engine with size: \\([0-9.e+]*\\) MiB.*/\\1/p' "$log" | sed 1q)
  size=$(wc -c <"$saving" | tr -cd '0-9')
  awk -v size="$size" -v stated="\${stated:-0}" 'BEGIN { exit size < stated * 1048576 * 0.9999 - 64 }'
}

# Builds an engine: $1 plan, $2 graph, $3 its SHA-256, $4 profiles and $5 arguments as JSON, $6 where it is saved, then the arguments
build() {
  plan=$1 graph=$2 expected=$3 profiles=$4 listed=$5 saving=$6
  shift 6
  [ -f "$graph" ] || fail 1 "$graph is missing"
  [ "$(sha256 "$graph")" = "$expected" ] || fail 1 "$graph is not the file that the package was written with"
  if [ "$force" = no ] && fits "$plan" "$expected" "$listed"; then
    printf '%s is there already\\n' "$plan"
    return
  fi
  log=\${plan%.plan}.log
  clean
  timing=
  [ ! -f ${quoteSh(timingCache.file)} ] || timing=$(sha256 ${quoteSh(timingCache.file)})
${pinned(timingCache.file, timingCacheSha256)}  if [ -n "$timing" ] && ! cp -- ${quoteSh(timingCache.file)} ${quoteSh(timingCache.workFile)}; then
    clean
    fail 1 'the timing cache cannot be copied'
  fi
  printf '%s is being built; %s has the log\\n' "$plan" "$log"
  "$trtexec" "$@" >"$log" 2>&1 &
  child=$!
  wait "$child"
  code=$?
  child=
  if [ "$code" -ne 0 ] || ! whole; then
    clean
    grep -e '\\[[EF]\\]' -- "$log" | sed 20q >&2
    fail 4 "$plan was not built: trtexec ended with exit code $code" "$log has all that it said"
  fi
  gpu=$(sed -n 's/.*\\[I\\] Selected Device: //p' "$log" | sed 1q | plain)
  capability=$(sed -n 's/.*\\[I\\] Compute Capability: //p' "$log" | sed 1q | tr -cd '0-9.')
  [ -n "$gpu" ] || gpu=\${smi_gpu:-unknown}
  [ -n "$capability" ] || capability=\${smi_capability:-unknown}
  {
    printf '{\\n'
    printf '  "file": "%s",\\n' "$plan"
    printf '  "graph": "%s",\\n' "$graph"
    printf '  "profiles": %s,\\n' "$profiles"
    printf '  "size": %s,\\n' "$size"
    printf '  "sha256": "%s",\\n' "$(sha256 "$saving")"
    printf '  "graphSha256": "%s",\\n' "$expected"
    printf '  "tensorrt": "%s",\\n' "$tensorrt"
    printf '  "gpu": "%s",\\n' "$gpu"
    printf '  "computeCapability": "%s",\\n' "$capability"
    [ -z "$driver" ] || printf '  "driver": "%s",\\n' "$driver"
    [ -z "$timing" ] || printf '  "timingCacheSha256": "%s",\\n' "$timing"
    printf '  "versionCompatible": ${versionCompatible},\\n'
    printf '  "hardwareCompatibility": "${hardwareCompatibility}",\\n'
    printf '  "arguments": %s\\n' "$listed"
    printf '}\\n'
  } >stamp.partial || {
    clean
    fail 1 "there is no room for what $plan was built with"
  }
  # The old stamp first: it must never stand beside an engine that it says nothing of.
  rm -f -- "$plan.json"
  if ! mv -f -- "$saving" "$plan" || ! mv -f -- stamp.partial "$plan.json"; then
    clean
    fail 1 "$plan cannot be put in its place"
  fi
${keepCache(timingCache, timingCacheSha256)}  clean
  printf '%s is built\\n' "$plan"
}

${engines.map(call).join('\n\n')}
`;
}

function pinned(file: string, sha256: string | undefined): string {
  if (sha256 === undefined) return '';
  return `  [ "$timing" = ${sha256} ] || fail 1 ${quoteSh(`${file} is not the one that engines are to be built with`)}\n`;
}

function keepCache({ file, workFile }: BuildScriptOptions['timingCache'], sha256: string | undefined): string {
  // A cache that is pinned stays what it is.
  if (sha256 !== undefined) return '';
  return `  [ ! -f ${quoteSh(workFile)} ] || mv -f -- ${quoteSh(workFile)} ${quoteSh(file)}\n`;
}

function call({ plan, graph, graphSha256, profiles, saveTo, ...engine }: ScriptedEngine): string {
  const stamped = [JSON.stringify(profiles), JSON.stringify(engine.settledArguments)];
  const words = [plan, graph, graphSha256, ...stamped, saveTo, ...engine.arguments];
  return `build ${words.map(quoteSh).join(' \\\n  ')}`;
}
