import { initialLayers } from '../../convert/initial-block.ts';
import {
  fittingLoops,
  layersOf,
  missingNumbers,
  type SharedLayers,
  type SharingName,
  shareLayers,
  shareListedLayers,
  storedLayers,
} from '../../convert/sharing.ts';
import { type Diagnostic, failure, type Location, type Result, success } from '../../files/diagnostics.ts';
import { layerPlaces } from '../architectures/layer-places.ts';
import type { SourceModel } from '../read/source-model.ts';
import type { ConvertOptions } from './convert-options.ts';

export interface PlannedSharing {
  readonly shared: SharedLayers;
  /** For each stored layer the originals that it starts as the mean of. */
  readonly origins: readonly (readonly number[])[];
}

/** Which layers of a model are shared and what they start as, or why this model cannot be shared like that. */
export function planSharing(
  model: SourceModel,
  { loops, sharing = 'cycle', init = 'average', layers: chosen }: ConvertOptions,
  location: Location,
): Result<PlannedSharing> {
  const error = (code: string, message: string, hint?: string) =>
    failure({ severity: 'error', code, location, message, ...(hint === undefined ? {} : { hint }) });
  const { spec } = model;
  const count = spec.storedLayers;
  if (model.lora !== undefined || layerPlaces(model).length !== count) {
    const runs = layerPlaces(model).length;
    const message = `"${model.name}" is recursive already: it stores ${count} layers and runs ${runs}${model.lora ? ', with factors for each depth' : ''}.`;
    return error('already-recursive', message, 'Convert the model that it was made from.');
  }
  const shared = typeof sharing === 'string' ? byName(count, loops!, sharing) : byList(count, sharing);
  if ('message' in shared) return error(shared.code, shared.message, shared.hint);
  if (chosen !== undefined) {
    const { prelude, block, coda } = shared;
    if (chosen.length !== block) {
      const message = `"layers" names ${chosen.length} originals, and the block has ${block} layers.`;
      return error('invalid-option', message, `Name ${block}, from 0 to ${count - 1}.`);
    }
    const beyond = chosen.find((layer) => layer >= count);
    if (beyond !== undefined) {
      return error('invalid-option', `"layers" names layer ${beyond}; the model has layers 0 to ${count - 1}.`);
    }
    const kept = chosen.find((layer) => layer < prelude || layer >= count - coda);
    if (kept !== undefined) {
      const message = `"layers" names layer ${kept}, which stays what it is and is not of the block.`;
      return error('invalid-option', message, `Name layers from ${prelude} to ${count - coda - 1}.`);
    }
  }
  const mixed = mixedLayers(model, shared);
  if (mixed !== undefined) return error(mixed.code, mixed.message, mixed.hint);
  return success({ shared, origins: initialLayers(shared, chosen ?? init) });
}

type Problem = Pick<Diagnostic, 'code' | 'message'> & { readonly hint?: string };

function byName(count: number, loops: number, sharing: SharingName): SharedLayers | Problem {
  const fitting = fittingLoops(count, sharing);
  if (fitting.includes(loops)) return shareLayers(count, loops, sharing);
  const middle = sharing.startsWith('middle-');
  const what = middle ? `${count} layers without the first and the last, which are ${count - 2},` : `${count} layers`;
  if (fitting.length === 0) {
    const hint = middle ? 'Choose the sharing "cycle" or "sequence", if more layers may be shared.' : undefined;
    return { code: 'not-divisible', message: `${what} are too few to share.`, ...(hint && { hint }) };
  }
  // A model may have hundreds of divisors: those around what was asked for are enough.
  const below = fitting.filter((n) => n < loops).slice(-2);
  const above = fitting.filter((n) => n > loops).slice(0, 4 - below.length);
  const [last, ...before] = [...below, ...above].toReversed();
  const near = before.length === 0 ? `${last}` : `${before.toReversed().join(', ')} or ${last}`;
  return {
    code: 'not-divisible',
    message: `${what} cannot be shared by ${loops} loops: each of the stored layers runs equally often.`,
    hint: `Choose ${near} loops.`,
  };
}

function byList(count: number, stored: readonly number[]): SharedLayers | Problem {
  const hint = `For each of layers 0 to ${count - 1}, give the number of the stored layer that it becomes.`;
  if (stored.length !== count) {
    const message = `"sharing" lists ${stored.length} layers, and the model has ${count}.`;
    return { code: 'invalid-option', message, hint };
  }
  const missing = missingNumbers(stored);
  if (missing.length > 0) {
    const message = `"sharing" goes up to stored layer ${Math.max(...stored)}, but leaves out ${missing.join(', ')}.`;
    return { code: 'invalid-option', message, hint };
  }
  if (Math.max(...stored) === count - 1) {
    return { code: 'nothing-shared', message: '"sharing" gives every layer a stored layer of its own.', hint };
  }
  return shareListedLayers(stored);
}

/** A stored layer keeps its kind wherever it runs, so layers with and without a sliding window cannot be one. */
function mixedLayers({ spec }: SourceModel, shared: SharedLayers): Problem | undefined {
  const windows = spec.slidingWindows;
  for (const [stored, layers] of layersOf(shared).entries()) {
    const other = layers.find((layer) => windows[layer] !== windows[layers[0]!]);
    if (other === undefined) continue;
    const say = (layer: number) => (windows[layer] === undefined ? 'none' : `one of ${windows[layer]} positions`);
    const message = `Layers ${layers[0]} and ${other} would share stored layer ${stored}, but of sliding windows the first has ${say(layers[0]!)}, the second ${say(other)}.`;
    const hint = `Of ${storedLayers(shared)} stored layers each has to stand for layers of one kind: choose other loops, or another sharing.`;
    return { code: 'mixed-layers', message, hint };
  }
  return undefined;
}
