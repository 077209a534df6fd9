import type { Diagnostic } from './diagnostics.ts';
import { type JsonDocument, locationOf, readJson, valueAt } from './json.ts';
import type { PackageManifest } from './manifest.ts';
import { asOneBlock, type RunOrder, runOrder } from './run-order.ts';

const parts = ['prelude', 'block', 'loops', 'coda'] as const;

/**
 * Where rtc.json and the model.json beside it disagree on which layers run how often: one of them was edited, and the
 * graphs know only what they were compiled from. A model.json that cannot be read says nothing here; hashes tell.
 * @param document rtc.json
 * @param modelFile where the package's model.json is
 */
export async function checkRecursion(
  document: JsonDocument,
  manifest: PackageManifest,
  modelFile: string,
): Promise<readonly Diagnostic[]> {
  const model = await readJson(modelFile, modelFile, { maxBytes: 64 * 2 ** 20, maxDepth: 64 });
  if (!model.ok || valueAt(model.value, ['format']) !== 'rtc-model') return [];
  const order = orderOf(model.value);
  if (!order) return [];
  // A step runs the layers of a model without loops as one block.
  const found = manifest.form === 'depth-batched' && order.loops === 1 ? asOneBlock(order) : order;
  const problem = (part: string, message: string): Diagnostic => ({
    severity: 'error',
    code: 'invalid-manifest',
    location: locationOf(document, ['recursion', part]),
    message: `recursion.${part} ${message} in the "${manifest.source.model}" that the package was made from.`,
    hint: 'Compile the model again; rtc.json is not meant to be edited.',
  });
  const said = manifest.recursion;
  const wrong = parts.filter((part) => found[part] !== said[part]);
  if (wrong.length > 0) return wrong.map((part) => problem(part, `is ${said[part]} here, and ${found[part]}`));
  if (`${found.layers}` === `${said.layers}`) return [];
  const list = (layers: readonly number[] | undefined) => (layers ? `[${layers.join(', ')}]` : 'absent');
  return [problem('layers', `is ${list(said.layers)} here, and ${list(found.layers)}`)];
}

/** How the layers of a model.json run; undefined where it does not say. */
function orderOf(model: JsonDocument): RunOrder | undefined {
  const at = (key: string): unknown => valueAt(model, ['recursion', key]);
  const count = (key: string, absent?: number): number | undefined => {
    const found = at(key) ?? absent;
    return typeof found === 'number' && Number.isInteger(found) && found >= 0 ? found : undefined;
  };
  const layers = at('layers');
  if (Array.isArray(layers)) {
    const numbers = layers.filter((layer): layer is number => Number.isInteger(layer) && layer >= 0);
    return numbers.length === layers.length && numbers.length > 0 ? runOrder({ layers: numbers }) : undefined;
  }
  const [prelude, block, loops, coda] = [count('prelude', 0), count('block'), count('loops'), count('coda', 0)];
  if (prelude === undefined || block === undefined || loops === undefined || coda === undefined) return undefined;
  // Whoever damaged the file might have it say any number.
  if (!(prelude + block * loops + coda <= 2 ** 16)) return { prelude, block, loops, coda };
  return runOrder({ prelude, block, loops, coda, order: at('order') === 'sequence' ? 'sequence' : 'cycle' });
}
