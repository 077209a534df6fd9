import type { PackageManifest } from '../../files/manifest.ts';
import type { HostTensor } from '../session.ts';
import { copyPlan, type EntryCopy } from './copy-plan.ts';
import { type Numbers, numbersOf } from './numbers.ts';
import type { StepShape } from './step-model.ts';

/** The pages of all layers, made once, lying where ONNX Runtime reads them. */
export interface CachePages {
  /** key_pages.{i}, value_pages.{i} */
  readonly feeds: Readonly<Record<string, HostTensor>>;
  readonly bytes: number;
  /**
   * Copies new entries into pages. A page that got numbers which are not finite is wiped before somebody else fills it:
   * what lies behind a sequence's last entry is masked, but 0 · NaN is NaN.
   * @param tokens of a row of the outputs, padding included
   */
  readonly write: (outputs: Readonly<Record<string, HostTensor>>, tokens: number, copies: readonly EntryCopy[]) => void;
}

interface Layer {
  readonly part: EntryCopy['part'];
  readonly tensors: readonly { readonly output: string; readonly pages: Numbers }[];
}

/**
 * Makes pages for all layers of a package; both counts include page 0, which nothing is written to.
 * @param warm writes them, so that they are memory and not a promise of some
 */
export function cachePages(
  shape: StepShape,
  layers: PackageManifest['cache']['layers'],
  pageCount: number,
  boundaryPageCount: number,
  warm = false,
): CachePages {
  const { kvHeads, pageSize, headDim, dtype } = shape;
  const pageLength = kvHeads * pageSize * headDim;
  const feeds: Record<string, HostTensor> = {};
  let bytes = 0;
  const made = layers.map(({ part }, i): Layer => {
    const count = part === 'block' ? pageCount : boundaryPageCount;
    const tensors = (['key', 'value'] as const).map((kind) => {
      const pages = dtype === 'f16' ? new Uint16Array(count * pageLength) : new Float32Array(count * pageLength);
      if (warm) pages.fill(0);
      feeds[`${kind}_pages.${i}`] = { type: dtype, dims: [count, kvHeads, pageSize, headDim], data: pages };
      bytes += pages.byteLength;
      return { output: `new_${kind}.${i}`, pages };
    });
    return { part, tensors };
  });

  const plan = copyPlan(shape);
  /** Pages that hold numbers that are not finite, by part. They are wiped when somebody starts to fill them again. */
  const spoilt = { block: new Set<number>(), prelude: new Set<number>(), coda: new Set<number>() };

  const write: CachePages['write'] = (outputs, tokens, copies) => {
    for (const part of ['prelude', 'block', 'coda'] as const) {
      const own = copies.filter((copy) => copy.part === part);
      if (own.length === 0) continue;
      const tensors = made.flatMap((layer) => (layer.part === part ? layer.tensors : []));
      if (spoilt[part].size > 0) {
        for (const page of startedPages(own, pageSize)) {
          if (!spoilt[part].delete(page)) continue;
          for (const { pages } of tensors) pages.fill(0, page * pageLength, (page + 1) * pageLength);
        }
      }
      plan.make(own, tokens);
      for (const { output, pages } of tensors) plan.run(numbersOf(outputs[output]!.data), pages);
      for (const copy of own) {
        if (!copy.finite) for (const page of touchedPages(copy, pageSize)) spoilt[part].add(page);
      }
    }
  };
  return { feeds, bytes, write };
}
/** Pages whose first place is written: nobody else has entries in them. */
function startedPages(copies: readonly EntryCopy[], pageSize: number): readonly number[] {
  return copies.flatMap(({ pages, position, tokens }) => {
    const first = Math.ceil(position / pageSize);
    return pages.slice(first, Math.ceil((position + tokens) / pageSize));
  });
}

function touchedPages({ pages, position, tokens }: EntryCopy, pageSize: number): readonly number[] {
  return pages.slice(Math.floor(position / pageSize), Math.ceil((position + tokens) / pageSize));
}
