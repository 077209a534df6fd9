import type { BuildScriptOptions } from '../build-script.ts';
import { quoteSh } from '../trtexec/quote-sh.ts';

/**
 * The part of build.sh that builds engines: `build`, which leaves alone what `fits`, what a stop in the middle removes,
 * and the lock.
 * @param script name of the script
 */
export function scriptFunctions(
  { timingCache, timingCacheSha256, versionCompatible, hardwareCompatibility }: BuildScriptOptions,
  script: string,
): string {
  const lock = quoteSh(`${script}.lock`);
  return `child=
saving=
locked=no
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
  # What another one works on is not ours to remove.
  [ "$locked" = no ] || clean
  printf '${script}: interrupted\\n' >&2
  exit 130
}
unlock() { [ "$locked" = no ] || rm -rf -- ${lock}; }
trap interrupted INT TERM HUP
trap unlock EXIT

# One at a time builds in a folder: mkdir says who was first
lock() {
  [ "$locked" = no ] || return 0
  if mkdir ${lock} 2>/dev/null; then
    locked=yes
    printf 'process %s on %s\\n' "$$" "$(uname -n)" >${lock}/owner
    return 0
  fi
  [ -d ${lock} ] || fail 1 'nothing can be written into this folder'
  owner=$(cat ${lock}/owner 2>/dev/null)
  fail 1 "another ${script} is at work in this folder: \${owner:-a process that does not say which}" \\
    "wait for it; if it is gone, remove what it left: rm -r '$(pwd)/${lock}'"
}

# A file of weights and what it is now, as stamps have it: $1 file, $2 its name in JSON
weighed() {
  [ -f "$1" ] || fail 1 "$1 is missing"
  sum=$(sha256 "$1")
  [ -n "$sum" ] || fail 1 "$1 cannot be read"
  printf '%s: "%s"' "$2" "$sum"
}

# JSON on one line
line() { sed 's/^ *//' | tr '\\n' ' '; }

# Whether an engine is there, whole, of what it would be built from now, and fits this machine: $1 plan, $2 SHA-256 of the
# graph, $3 arguments and $4 weights as JSON
fits() {
  [ -s "$1" ] || return 1
  if [ -f "$1.json" ]; then
    said=$(line <"$1.json")
    asked="\\"arguments\\": $3"
  else
    # Of engines that rtc compile built, all at once, rtc.json tells.
    said=$(sed -n '/^  "plans": \\[$/,/^  \\]/p' rtc.json | line)
    asked=
  fi
  # Of a GPU that cannot be asked nothing is known.
  here=
  [ -z "$smi_gpu" ] || here="\\"gpu\\": \\"$smi_gpu\\""
  sum=$(sha256 "$1")
  for part in "\\"sha256\\": \\"$sum\\"" "\\"graphSha256\\": \\"$2\\"" "\\"weights\\": $4" \\
    "\\"tensorrt\\": \\"$tensorrt\\"" "$here" "$asked"; do
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

# Builds an engine: $1 plan, $2 graph, $3 its SHA-256, $4 profiles, $5 arguments and $6 weights as JSON, $7 where it is
# saved, then the arguments
build() {
  plan=$1 graph=$2 expected=$3 profiles=$4 listed=$5 weights=$6 saving=$7
  shift 7
  [ -f "$graph" ] || fail 1 "$graph is missing"
  [ "$(sha256 "$graph")" = "$expected" ] || fail 1 "$graph is not the file that the package was written with"
  if [ "$force" = no ] && fits "$plan" "$expected" "$listed" "$weights"; then
    printf '%s is there already\\n' "$plan"
    return
  fi
  lock
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
    how='left no whole engine'
    [ "$code" -eq 0 ] || how="ended with exit code $code"
    grep -e '\\[[EF]\\]' -- "$log" | sed 20q >&2
    fail 4 "$plan was not built: trtexec $how" "$log has all that it said"
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
    printf '  "weights": %s,\\n' "$weights"
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
