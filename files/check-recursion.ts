import type { Diagnostic } from './diagnostics.ts';
import { type JsonDocument, locationOf, readJson, valueAt } from './json.ts';
import type { PackageManifest } from './manifest.ts';

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
  return parts.flatMap((part): readonly Diagnostic[] => {
    const found = valueAt(model.value, ['recursion', part]) ?? (part === 'prelude' || part === 'coda' ? 0 : undefined);
    const said = manifest.recursion[part];
    if (typeof found !== 'number' || found === said) return [];
    return [
      {
        severity: 'error',
        code: 'invalid-manifest',
        location: locationOf(document, ['recursion', part]),
        message: `recursion.${part} is ${said} here, and ${found} in the "${manifest.source.model}" that the package was made from.`,
        hint: 'Compile the model again; rtc.json is not meant to be edited.',
      },
    ];
  });
}
