import { homeVariables, installPlaces } from '../trtexec/find-trtexec.ts';
import { quoteSh } from '../trtexec/quote-sh.ts';
import { formatVersion, type TensorrtVersion } from '../versions.ts';

/**
 * The part of build.sh that finds what it works with: trtexec, which has to be of `version` or later, in the places where
 * `findTrtexec` looks; something that hashes; and what nvidia-smi says. It leaves the shell in the folder of the
 * package.
 * @param script name of the script
 */
export function scriptTools(version: TensorrtVersion, script: string): string {
  const number = version.major * 10_000 + version.minor * 100;
  const release = formatVersion({ major: version.major, minor: version.minor });
  const homes = homeVariables.map((name) => `"\${${name}:+$${name}/bin}"`);
  return `# Before the folder changes: paths may be relative.
trtexec=\${TRTEXEC:-}
if [ -n "$trtexec" ]; then
  trtexec=$(command -v -- "$trtexec") || fail 4 "TRTEXEC is \\"$TRTEXEC\\", which is no program"
elif ! trtexec=$(command -v trtexec); then
  for place in ${[...homes, ...installPlaces.map(quoteSh)].join(' ')}; do
    if [ -n "$place" ] && [ -f "$place/trtexec" ] && [ -x "$place/trtexec" ]; then
      trtexec=$place/trtexec
      break
    fi
  done
fi
[ -n "$trtexec" ] || fail 4 'there is no trtexec on PATH or in the usual places' \\
  'it comes with the tar, the deb and the container of TensorRT, not with its Python package' \\
  "name it: TRTEXEC=/path/to/trtexec ./${script}"
case $trtexec in
  /*) ;;
  *) trtexec=$(pwd)/$trtexec ;;
esac

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
`;
}
