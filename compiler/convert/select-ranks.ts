import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { didYouMean } from '../../files/did-you-mean.ts';
import type { LinearModule } from '../read/expected-tensors.ts';
import type { LoraRanks } from './convert-options.ts';

/** The rank that is asked for of a module at a depth; 0: none. */
export type RankOf = (module: string, depth: number) => number;

/**
 * What `rank` says of each module at each depth.
 * @param depths how often the layer runs that runs most often
 */
export function selectRanks(rank: LoraRanks['rank'], modules: readonly LinearModule[], depths: number): Result<RankOf> {
  const entries = typeof rank === 'number' ? [['*', rank] as const] : Object.entries(rank);
  const paths = modules.map(({ path }) => path);
  const problems: Diagnostic[] = [];
  const rules = entries.map(([selector, value]) => {
    if (!Number.isSafeInteger(value) || value < 0) {
      const whose = selector === '*' ? '' : ` of "${selector}"`;
      const message = `The rank${whose} is ${JSON.stringify(value)}; a whole number from 0 was expected.`;
      problems.push({ severity: 'error', code: 'invalid-option', message });
    }
    const [, depth, name] = /^(?:depth_(\d+))?\/?(.*)$/.exec(selector)!;
    if (depth !== undefined && Number(depth) >= depths) {
      const message = `"${selector}" names depth ${Number(depth)}, but a layer runs ${depths} times, at depths 0 to ${depths - 1}.`;
      problems.push({ severity: 'error', code: 'unknown-depth', message });
    }
    const named = name === '' || name === undefined || name === '*' ? paths : paths.filter((path) => fits(path, name));
    if (named.length === 0 && name !== undefined) {
      const known = [...new Set(paths.flatMap((path) => [path, ...path.split('.')]))];
      const message = `No module is called "${name}".${didYouMean(name, known)}`;
      problems.push({ severity: 'error', code: 'unknown-target', message, hint: `A layer has ${paths.join(', ')}.` });
    }
    return { depth: depth === undefined ? undefined : Number(depth), modules: new Set(named), value };
  });
  if (problems.length > 0) return failure(...problems);
  return success(
    (module, depth) =>
      rules.findLast((rule) => rule.modules.has(module) && (rule.depth === undefined || rule.depth === depth))?.value ??
      0,
  );
}

/** `self_attn.q_proj` is meant by itself, by `q_proj` and by `self_attn`. */
function fits(path: string, name: string): boolean {
  return path === name || path.endsWith(`.${name}`) || path.startsWith(`${name}.`);
}
