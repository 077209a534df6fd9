import { printable } from '../../inspect/printable.ts';
import { isOfAnotherName, type UnknownPart } from './explain-miss.ts';
import type { ExplainedEngine, ExplainedPackage } from './explain-package.ts';

/** How words are set off. */
interface Emphasis {
  readonly bold: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

/** Lines that an engine may have; the rest is counted. */
const mostDifferences = 12;

const unknownNames: Readonly<Record<UnknownPart, string>> = {
  tensorrt: 'the version of TensorRT (--tensorrt-version)',
  gpu: 'the GPU (--gpu)',
  computeCapability: 'its compute capability (--compute-capability)',
  driver: 'its driver (--driver)',
};

/** What `rtc cache why` prints: what became of each engine, and under it why. */
export function formatExplanations({ engines, unknown }: ExplainedPackage, style: Emphasis): string {
  const lines = engines.flatMap((engine) => {
    const [outcome, ...reasons] = explain(engine, style);
    return [`${style.bold(engine.plan)}  ${outcome}`, ...reasons.map((reason) => `  ${printable(reason)}`)];
  });
  if (unknown.length > 0) {
    lines.push(`Not known here, and so not compared: ${unknown.map((part) => unknownNames[part]).join(', ')}.`);
  }
  return `${lines.join('\n')}\n`;
}

function explain({ outcome, key, nearest, keptFor }: ExplainedEngine, style: Emphasis): readonly string[] {
  if (outcome === 'hit') return [`${style.green('hit')}, kept as ${key!.slice(0, 12)}`];
  if (outcome === 'depends') {
    return [
      `${style.green('kept')}, not read, and a hit on these machines:`,
      ...keptFor.map(
        ({ gpu, computeCapability, driver, tensorrt }) =>
          `${gpu}, compute capability ${computeCapability}, driver ${driver}, TensorRT ${tensorrt}`,
      ),
    ];
  }
  if (nearest === undefined) return [`${style.yellow('miss')}: no engine is kept`];
  const { differences } = nearest;
  // Everything differs then, and the list says nothing.
  if (isOfAnotherName(differences) && differences.some(({ part }) => part === 'graph')) {
    return [`${style.yellow('miss')}: no engine of this name or graph is kept`];
  }
  const shown = differences.slice(0, mostDifferences).map(({ message }) => message);
  const more = differences.length - shown.length;
  return [
    `${style.yellow('miss')}; the nearest engine, ${nearest.key.slice(0, 12)}, differs in ${differences.length}:`,
    ...shown,
    ...(more > 0 ? [`and ${more} more, which --json has`] : []),
  ];
}
