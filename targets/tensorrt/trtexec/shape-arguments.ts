import { invariant } from '../../../ir/invariant.ts';
import type { Profile } from '../engine-plan.ts';
import { nameProblem, quotedName } from './names.ts';

/** `input_ids:16x1,page_table:16x64`, in the order given. A tensor without axes is a `scalar`. */
export function shapeList(shapes: readonly (readonly [name: string, sizes: readonly number[]])[]): string {
  return shapes
    .map(([name, sizes]) => {
      const problem = nameProblem(name);
      invariant(problem === undefined, `inputs have names that trtexec can be told, and "${name}" ${problem}`);
      return `${quotedName(name)}:${sizes.length === 0 ? 'scalar' : sizes.join('x')}`;
    })
    .join(',');
}

/**
 * Profiles in order, each with its three lists right behind it and every input in all of them: trtexec takes a list for
 * another profile's, or for nothing, where anything stands between.
 */
export function profileArguments(profiles: readonly Profile[]): readonly string[] {
  // Shapes of a graph whose sizes are all fixed are an error.
  if (profiles.every(({ inputs }) => Object.keys(inputs).length === 0)) return [];
  return profiles.flatMap(({ inputs }, number) => {
    const list = (selector: 'min' | 'opt' | 'max') =>
      shapeList(Object.entries(inputs).map(([name, range]) => [name, range[selector]] as const));
    return [
      `--profile=${number}`,
      `--minShapes=${list('min')}`,
      `--optShapes=${list('opt')}`,
      `--maxShapes=${list('max')}`,
    ];
  });
}
