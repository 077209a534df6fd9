import type { Diagnostic } from '../../../files/diagnostics.ts';
import type { TensorrtFacts } from '../../../files/manifest.ts';
import { buildScriptName } from '../../../targets/tensorrt/build-script.ts';

/**
 * Why a package has no engines, what it has, and what to do next. Of a trtexec that is missing in one diagnostic of five
 * lines; of a build that failed in trtexec's own words, and a note.
 * @param out the package, as the user names it
 */
export function withoutEngines(
  out: string,
  { version, engines }: TensorrtFacts,
  unbuilt: readonly Diagnostic[],
): readonly Diagnostic[] {
  const missing = unbuilt.find(({ code }) => code === 'trtexec-missing');
  const location = { file: out };
  if (missing === undefined) {
    const message = `The package is written for TensorRT ${version}, whole but for its engines.`;
    const hint = `${buildScriptName} in it tries again, here or on another machine.`;
    return [...unbuilt, { severity: 'note', code: 'no-engines', location, message, hint }];
  }
  const graphs = [...new Set(engines.map(({ graph }) => graph))];
  const lines = [
    `${missing.message.split('\n')[0]}`,
    `Written, whole but for engines: ${[...graphs, buildScriptName].join(', ')}, rtc.json, and the weights.`,
    `Where there is a GPU and TensorRT ${version} or later, ./${buildScriptName} in a copy of this folder builds ${list(engines.map(({ plan }) => plan))}.`,
  ];
  const hint =
    'trtexec comes with the tar, deb and container of TensorRT; --trtexec names it, --no-build does without.';
  return [{ severity: 'error', code: missing.code, location, message: lines.join('\n'), hint }];
}

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
