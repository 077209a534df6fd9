import { invariant } from '../../../ir/invariant.ts';
import { atLeast } from '../versions.ts';
import { flagsOf, splitArgument } from './arguments.ts';
import type { BuildJob } from './build-job.ts';
import { refusalOf } from './flags.ts';
import { nameProblem, quotedName } from './names.ts';
import { settingArguments } from './setting-arguments.ts';
import { profileArguments } from './shape-arguments.ts';

export { type SettingsProblem, settingsProblems } from './settings-problems.ts';

/**
 * What trtexec is called with to build an engine: a function of the job and of nothing else, so that what is printed,
 * hashed and written into build.sh is what runs. Flags are those that its version has.
 *
 * Types are in the graph; until 10.16 `--stronglyTyped` makes the builder keep to them, from 11.0 on it cannot do
 * otherwise. `settings` have no problems (settingsProblems).
 */
export function buildArguments({
  version,
  engine,
  saveTo,
  timingCache,
  settings,
  attentions,
}: BuildJob): readonly string[] {
  const args = [
    `--onnx=${engine.graph}`,
    `--saveEngine=${saveTo}`,
    ...profileArguments(engine.profiles),
    ...(atLeast(version, 11, 0) ? [] : ['--stronglyTyped']),
    ...(attentions.length === 0 ? [] : [`--decomposableAttentions=${attentionList(attentions)}`]),
    '--skipInference',
    `--timingCacheFile=${timingCache}`,
    ...settingArguments(settings),
    // Somebody who asks for names only, or for none, may have that.
    ...(flagsOf(settings.extra).includes('--profilingVerbosity') ? [] : ['--profilingVerbosity=detailed']),
  ];
  for (const arg of args) {
    const [flag, value] = splitArgument(arg);
    const refusal = refusalOf(flag, value, version);
    invariant(refusal === undefined, `flags are those of the version: ${refusal}`);
  }
  return [...args, ...settings.extra];
}

function attentionList(names: readonly string[]): string {
  for (const name of names) {
    const problem = nameProblem(name);
    invariant(problem === undefined, `nodes have names that trtexec can be told, and "${name}" ${problem}`);
  }
  return names.map(quotedName).join(',');
}
