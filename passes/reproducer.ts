import type { Graph } from '../ir/graph.ts';
import { formatProblem, parseGraph } from '../ir/parse.ts';
import { printGraph } from '../ir/print.ts';
import type { PassOptions } from './pass.ts';

/** A pass to run again, by name. */
export interface PassCall {
  readonly name: string;
  readonly options: PassOptions;
}

const callLine = /^\/\/ pass: (\S+)(?: (\{.*\}))?$/gm;

/**
 * The graph that a pass was given as a .rtc text, headed by the pass (if it was one) and by what went wrong:
 *
 * ```
 * // pass: merge-lora {"strategy":"bake"}
 * // what is 2
 * graph …
 * ```
 */
export function writeReproducer(
  pass: { readonly name: string; readonly options?: PassOptions | undefined } | undefined,
  input: Graph,
  message: string,
): string {
  const options = pass?.options && Object.keys(pass.options).length > 0 ? ` ${JSON.stringify(pass.options)}` : '';
  const call = pass ? `// pass: ${pass.name}${options}\n` : '';
  const comment = message
    .split('\n')
    .map((line) => `// ${line}\n`)
    .join('');
  return `${call}${comment}${printGraph(input)}`;
}

/** The graph of a .rtc text and the passes that its `// pass:` lines name; or what is wrong with the text. */
export function readReproducer(
  text: string,
): { readonly graph: Graph; readonly passes: readonly PassCall[] } | { readonly problems: readonly string[] } {
  const parsed = parseGraph(text);
  if (!parsed.ok) return { problems: parsed.problems.map(formatProblem) };
  const passes: PassCall[] = [];
  for (const [line, name, options] of text.matchAll(callLine)) {
    const given = options === undefined ? {} : parseOptions(options);
    if (!given) return { problems: [`"${line}" has options that are not JSON`] };
    passes.push({ name: name!, options: given });
  }
  return { graph: parsed.graph, passes };
}

function parseOptions(text: string): PassOptions | undefined {
  try {
    return JSON.parse(text) as PassOptions;
  } catch {
    return undefined;
  }
}
