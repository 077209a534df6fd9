import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { z } from 'zod';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { readJson } from '../../../files/json.ts';
import { type PlanStamp, planStampSchema } from '../../../files/plan-stamp.ts';
import { partsName, planName, stampName } from './cache-layout.ts';
import { canonicalJson, type PlanParts, planKey, planPartsSchema } from './plan-parts.ts';

/** An engine that is kept. */
export interface CacheEntry {
  readonly key: string;
  readonly parts: PlanParts;
  readonly stamp: PlanStamp;
}

/** Nothing in an entry but the engine itself is larger. */
const jsonLimits = { maxBytes: 2 ** 22, maxDepth: 16 };

/**
 * Reads what an entry says of itself, and checks everything short of the engine's bytes: the parts have to be those of
 * the key, the stamp has to say the same as the parts, and the engine has to have the stamp's size. Undefined: there is
 * none, or none that stays long enough to be read. A failure is an entry that is damaged, with one diagnostic that says
 * how.
 */
export async function readEntry(folder: string, key: string): Promise<Result<CacheEntry> | undefined> {
  return whileItStays(folder, async () => {
    const read = await readOnce(folder, key);
    return { value: read, sure: read.ok };
  });
}

/**
 * Looks at an entry until what is seen is `sure`, or until the same entry gives it twice: what looks like damage may be
 * one entry going and another one coming. There is a moment between, as a file system's clock does not tell apart what
 * happens in the same few milliseconds. Undefined: there is no entry, or none that stays.
 */
export async function whileItStays<T>(
  folder: string,
  look: () => Promise<{ readonly value: T; readonly sure: boolean }>,
): Promise<T | undefined> {
  let doubted: string | undefined;
  for (let attempt = 0; attempt < 16; attempt++) {
    const before = await entryIdentity(folder);
    if (before === undefined) return undefined;
    const { value, sure } = await look();
    if (sure) return value;
    const stayed = (await entryIdentity(folder)) === before;
    if (stayed && doubted === before) return value;
    doubted = stayed ? before : undefined;
    if (stayed) await setTimeout(20);
  }
  return undefined;
}

/** Tells an entry from the next one with its name; undefined: there is none. */
async function entryIdentity(folder: string): Promise<string | undefined> {
  return stat(folder, { bigint: true }).then(
    ({ ino, ctimeNs, birthtimeNs }) => [ino, ctimeNs, birthtimeNs].join(':'),
    () => undefined,
  );
}

async function readOnce(folder: string, key: string): Promise<Result<CacheEntry>> {
  const damage = (how: string) => failure(damagedEntry(folder, how));
  const parts = await readChecked(join(folder, partsName), planPartsSchema);
  const stamp = await readChecked(join(folder, stampName), planStampSchema);
  const plan = await stat(join(folder, planName)).catch(() => undefined);
  if (parts === undefined) return damage(`its ${partsName} cannot be read`);
  if (planKey(parts) !== key) return damage(`its ${partsName} says what another entry is made of`);
  if (stamp === undefined) return damage(`its ${stampName} cannot be read`);
  const disagreement = stampProblem(stamp, parts);
  if (disagreement !== undefined) return damage(`its ${stampName} says ${disagreement}`);
  if (plan === undefined || !plan.isFile()) return damage('it has no engine');
  if (plan.size !== stamp.size) return damage(`its engine has ${plan.size} bytes in place of ${stamp.size}`);
  return success({ key, parts, stamp });
}

/** In what a stamp does not fit the parts that its engine was built from; undefined: in nothing. */
export function stampProblem(stamp: PlanStamp, parts: PlanParts): string | undefined {
  if (stamp.graphSha256 !== parts.graph) return 'that it is built from another graph';
  if (canonicalJson(stamp.weights) !== canonicalJson(parts.weights)) return 'that it is built from other weights';
  if (stamp.tensorrt !== parts.tensorrt) return `TensorRT ${stamp.tensorrt}, and not ${parts.tensorrt}`;
  if (stamp.gpu !== parts.gpu) return `that it is for ${stamp.gpu}, and not ${parts.gpu}`;
  if (stamp.computeCapability !== parts.computeCapability) {
    return `compute capability ${stamp.computeCapability}, and not ${parts.computeCapability}`;
  }
  if (canonicalJson(stamp.arguments) !== canonicalJson(parts.arguments)) return 'that it is built with other arguments';
  return undefined;
}

export function damagedEntry(folder: string, how: string): Diagnostic {
  return {
    severity: 'warning',
    code: 'damaged-cache-entry',
    location: { file: folder },
    message: `An engine that was kept is damaged: ${how}.`,
  };
}

async function readChecked<T>(file: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const read = await readJson(file, file, jsonLimits);
  if (!read.ok) return undefined;
  const parsed = schema.safeParse(read.value.value);
  return parsed.success ? parsed.data : undefined;
}
