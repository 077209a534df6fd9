import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { readPackage } from '../../files/package.ts';
import { modelFolder } from './simple-package.ts';

type Form = NonNullable<CompileOptions['form']>;
type Writable<T> = T extends object ? { -readonly [K in keyof T]: Writable<T[K]> } : T;
type Edit = (manifest: Writable<PackageManifest>) => void;

const forms: readonly Form[] = ['depth-batched', 'loop', 'unrolled'];
let folder: string;
const texts = new Map<Form, string>();
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-interface-'));
  for (const form of forms) {
    // A prelude and a coda, and two loops that a token may leave behind.
    const result = await compile({ model: modelFolder('llama-middle-cycle'), form, out: join(folder, form) });
    if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
    texts.set(form, readFileSync(join(folder, form, 'rtc.json'), 'utf8'));
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What reading the package says once rtc.json was edited: places and messages. */
async function problemsOf(form: Form, edit: Edit): Promise<readonly string[]> {
  const manifest = JSON.parse(texts.get(form)!) as Writable<PackageManifest>;
  edit(manifest);
  writeFileSync(join(folder, form, 'rtc.json'), JSON.stringify(manifest));
  const read = await readPackage(join(folder, form), { check: 'sizes' });
  expect(read.ok).toBe(read.diagnostics.length === 0);
  for (const { code } of read.diagnostics) expect(code).toBe('invalid-manifest');
  return read.diagnostics.map(({ location, message }) => `${location?.path}: ${message}`);
}

/** The only graph of other forms, the main one of this. */
const main = ({ graphs }: Writable<PackageManifest>) => graphs['step.onnx'] ?? graphs['model.onnx']!;

describe.each(forms)('%s', (form) => {
  const cases: Readonly<Record<string, readonly [Edit, RegExp]>> = {
    'caches left out': [
      ({ cache }) => {
        cache.layers = [];
      },
      /^cache\.layers: .* are listed\.$/,
    ],
    'caches in another order': [
      ({ cache }) => {
        cache.layers.reverse();
      },
      /^cache\.layers\[0\]: This is not cache 0/,
    ],
    'more loops than memory has bytes': [
      (m) => {
        m.recursion.loops = 2 ** 52;
        m.recursion.prelude = 2 ** 52;
      },
      /^cache\.layers: /,
    ],
    'no block': [
      (m) => {
        m.recursion.block = 0;
      },
      /^recursion: /,
    ],
    'other layers in front': [
      (m) => {
        m.recursion.prelude = 0;
        m.recursion.block = 3;
      },
      /^cache\.layers(\[0\])?: /,
    ],
    'an exit behind the last loop': [
      (m) => {
        m.exits = { after: [1, 3], confidence: 'top1', threshold: 1, logits: false };
      },
      /^exits\.after\[1\]: Exits are loops from 1 to 2/,
    ],
    'other heads': [
      ({ cache }) => {
        cache.heads = 4;
      },
      /"(key_pages|past_key_values)\.0.*calls for f32\[.*,4,.*,16\]\.$/,
    ],
    'wider heads': [
      ({ cache }) => {
        cache.headDim = 8;
      },
      /calls for f32\[.*,8\]\.$/,
    ],
    'another type of caches': [
      ({ cache }) => {
        cache.dtype = 'f16';
      },
      /calls for f16\[/,
    ],
    'a graph without an input': [
      (m) => {
        main(m).inputs.splice(4, 1);
      },
      /: There is no input "/,
    ],
    'a graph with an input that nobody gives': [
      (m) => {
        main(m).inputs.push({ name: 'more', dtype: 'f32', dims: [] });
      },
      /: There is an input "more"/,
    ],
    'a graph without logits': [
      (m) => {
        main(m).outputs = main(m).outputs.filter(({ name }) => name !== 'logits');
      },
      /: There is no output "logits"/,
    ],
    'another form': [
      (m) => {
        m.form = form === 'unrolled' ? 'loop' : 'unrolled';
      },
      /cache\.layers/,
    ],
  };
  test.each(Object.entries(cases))('%s', async (_, [edit, expected]) => {
    expect(await problemsOf(form, () => {})).toEqual([]);
    expect((await problemsOf(form, edit))[0]).toMatch(expected);
  });
});

test.each<[string, Form, Edit, RegExp]>([
  [
    'another page size',
    'depth-batched',
    ({ cache }) => {
      cache.pageSize = 16;
    },
    /calls for f32\[boundary_page_count,2,16,16\]/,
  ],
  [
    'no page size',
    'depth-batched',
    ({ cache }) => {
      delete cache.pageSize;
    },
    /^cache: The form "depth-batched" needs "pageSize"/,
  ],
  [
    'more groups',
    'depth-batched',
    ({ cache }) => {
      cache.groups = 2;
    },
    /"input_ids" is i64\[rows,tokens\], where the rest .* i64\[rows_0\+rows_1,tokens\]/,
  ],
  [
    'nothing to propagate with',
    'depth-batched',
    ({ graphs }) => {
      delete graphs['propagate.onnx'];
    },
    /^graphs: .* has the graph "propagate\.onnx"/,
  ],
  [
    'more loops than the model.json beside, of which the step graph says nothing',
    'depth-batched',
    (m) => {
      m.recursion.loops += 1;
    },
    /^recursion\.loops: recursion\.loops is 4 here, and 3 in the "model\.json" that the package was made from/,
  ],
  [
    'another loops axis',
    'loop',
    (m) => {
      m.recursion.loops = 2;
      for (const layer of m.cache.layers) if (layer.loops) layer.loops = 2;
    },
    /"past_key_values\.1\.key" is f32\[3,/,
  ],
  [
    'logits of exits that are not there',
    'unrolled',
    (m) => {
      m.exits = { after: [1], confidence: 'top1', threshold: 1, logits: true };
    },
    /no output "exit_logits\.1"/,
  ],
])('%s', async (_, form, edit, expected) => {
  expect((await problemsOf(form, edit))[0]).toMatch(expected);
});
