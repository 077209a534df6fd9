import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compiled } from '../../e2e/open-package.ts';
import { makeTinyModel } from '../../support/tiny-model.ts';

/** What soak.js prints of each engine. */
interface Run {
  readonly kvPolicy: string;
  readonly requests: number;
  readonly counts: Readonly<Record<'length' | 'stop' | 'cancelled' | 'refused', number>>;
  readonly state: object & { readonly preemptions: number };
  readonly problems: readonly string[];
  /** Bytes after garbage collection, in the thread of the requests and in the engine's, behind each quarter. */
  readonly heaps: readonly { readonly here: number; readonly there: number; readonly external: number }[];
  readonly rss: number;
}

const requests = 20_000;
const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
let scratch: string;
let runs: readonly Run[];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-soak-'));
  const model = join(scratch, 'model');
  makeTinyModel(model, {
    ...{ hiddenSize: 16, heads: 2, kvHeads: 1, headDim: 8, intermediateSize: 24, vocabSize: 32 },
    ...{ block: 1, loops: 2, maxPositions: 96, exits: { after: [1], threshold: 0.15 } },
  });
  const folder = await compiled({ model, form: 'depth-batched', pageSize: 16, out: join(scratch, 'package') });
  const flags = ['--expose-gc', '--import', file('soak-heap.js')];
  const { stdout } = await execa(process.execPath, [...flags, file('soak.js'), folder, String(requests)], {
    timeout: 200_000,
  });
  runs = JSON.parse(stdout) as readonly Run[];
}, 240_000);
afterAll(() => rm(scratch, { recursive: true }));

test(`${requests} requests end once each, and as they should`, () => {
  expect(runs.map(({ kvPolicy }) => kvPolicy)).toEqual(['last-exited', 'propagate', 'complete', 'shared']);
  let ended = 0;
  for (const { kvPolicy, counts, problems } of runs) {
    expect(problems, kvPolicy).toEqual([]);
    // All ways to end came up.
    for (const count of Object.values(counts)) expect(count, kvPolicy).toBeGreaterThan(20);
    ended += Object.values(counts).reduce((sum, count) => sum + count, 0);
  }
  expect(ended).toBe(requests);
});

test('pages were too few, and all come back', () => {
  for (const { kvPolicy, state } of runs) {
    expect(state, kvPolicy).toMatchObject({ waiting: 0, running: 0, pages: { used: 0 } });
    expect(state.preemptions, kvPolicy).toBeGreaterThan(0);
  }
});

test('memory stays flat', () => {
  for (const { kvPolicy, heaps, requests: count } of runs) {
    // What 100 bytes a request would come to, from the first quarter on, when everything is warm.
    const allowed = (count * 3 * 100) / 4;
    const [warm, end] = [heaps[0]!, heaps.at(-1)!];
    expect(end.there - warm.there, `${kvPolicy}, the engine's thread`).toBeLessThan(allowed);
    expect(end.here - warm.here, `${kvPolicy}, the other thread`).toBeLessThan(allowed);
  }
  // Closed engines take their sessions, pages and threads with them.
  expect(runs.at(-1)!.rss - runs[0]!.rss).toBeLessThan(32 * 2 ** 20);
});
