import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PackageManifest } from '../files/manifest.ts';

/** Tokens that end a sequence: those of generation_config.json, else of config.json; none when neither names any. */
export async function readEndTokens(
  folder: string,
  manifest: Pick<PackageManifest, 'config'>,
): Promise<readonly number[]> {
  for (const { eos_token_id: id } of [await generationConfig(folder), manifest.config]) {
    const ids = [id].flat().filter((token): token is number => Number.isInteger(token));
    if (ids.length > 0) return ids;
  }
  return [];
}

/** generation_config.json; nothing when it is missing or is not an object, as its settings are defaults only. */
async function generationConfig(folder: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const value: unknown = JSON.parse(await readFile(join(folder, 'generation_config.json'), 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
