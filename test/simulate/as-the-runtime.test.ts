import { expect, test } from 'vitest';
import type { Batching, CoreOptions, KvPolicy, RowOrder } from '../../runtime/depth-batched/core.ts';
import { createCore } from '../../runtime/depth-batched/create-core.ts';
import type { StepModel } from '../../runtime/depth-batched/step-model.ts';
import { randomNumbers } from '../../simulate/random-numbers.ts';
import type { Scenario } from '../../simulate/scenario.ts';
import { simulatedSteps } from '../../simulate/schedule/simulated-steps.ts';
import { stepCosts } from '../../simulate/step-costs.ts';

const loops = 4;

/** A step graph that computes nothing, and has pages for everybody. */
function emptyModel(): StepModel {
  return {
    shape: {
      prelude: 0,
      block: 1,
      loops,
      coda: 0,
      hiddenSize: 1,
      vocabulary: 10,
      kvHeads: 1,
      headDim: 1,
      pageSize: 16,
      groups: 1,
      neverEmpty: false,
      dtype: 'f32',
      exits: [1, 2, 3],
    },
    pageCount: 10_000,
    boundaryPageCount: 0,
    pageBytes: 0,
    run: async (rows) => {
      const heads = rows.reduce((sum, row) => sum + row.heads.length, 0);
      return {
        hidden: (row) => new Float32Array(rows[row]!.tokens.length),
        confidence: new Float32Array(heads),
        likeliest: new Array<number>(heads).fill(1),
        logits: () => new Float32Array(10),
        milliseconds: 0,
      };
    },
    write: () => {},
    propagate: async () => 0,
    close: async () => {},
  };
}

interface Workload {
  readonly prompts: readonly number[];
  /** Of the tokens behind the first, which the prompt gives. */
  readonly exits: readonly (readonly number[])[];
}

type Options = Required<Pick<CoreOptions, 'maxRows' | 'maxSequences' | 'prefillChunk' | 'kvPolicy' | 'rowOrder'>>;

/** `kind: request.depth.role …, heads` of every step that the runtime's scheduler makes. */
async function runtimeSteps({ prompts, exits }: Workload, options: Options, batching: Batching) {
  const core = createCore(emptyModel(), { ...options, batching });
  prompts.forEach((length, id) => {
    const submitted = core.submit(id, {
      prompt: new Array<number>(length).fill(2),
      maxNewTokens: exits[id]!.length + 1,
      exit: { kind: 'trace', exits: [loops, ...exits[id]!] },
      ignoreEos: true,
    });
    if (!submitted.ok) throw new Error(JSON.stringify(submitted.diagnostics));
  });
  const steps: string[] = [];
  for (let report = await core.step(); report !== undefined; report = await core.step()) {
    const rows = report.rows.map(({ request, depth, role }) => `${request}.${depth}.${role}`);
    steps.push(`${report.kind}: ${rows.join(' ')}, ${report.heads}`);
  }
  return steps;
}

function simulated({ prompts, exits }: Workload, options: Options, batching: Batching): readonly string[] {
  const scenario: Scenario = {
    ...options,
    loops,
    exitsAfter: [1, 2, 3],
    costs: stepCosts({ passes: [{ rows: 1, milliseconds: 1 }], prompt: [{ tokens: 1, milliseconds: 1 }] }),
    requests: prompts.map((promptTokens, i) => ({ arrival: 0, promptTokens, exits: exits[i]! })),
    decision: 'known',
  };
  return [...simulatedSteps(scenario, batching)].map(({ kind, rows, heads }) => {
    const words = rows.map(({ request, depth, role }) => `${request}.${depth}.${role}`);
    return `${kind}: ${words.join(' ')}, ${heads}`;
  });
}

const batchings: readonly Batching[] = ['depth-wise', 'sequence-wise', 'sequence-wise-shrink'];
const policies: readonly KvPolicy[] = ['last-exited', 'propagate', 'complete', 'shared'];
const orders: readonly RowOrder[] = ['oldest', 'deepest', 'fullest'];

test.each(batchings)('%s: the steps of the runtime, row by row', async (batching) => {
  const random = randomNumbers(11);
  const draw = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  for (let i = 0; i < 84; i++) {
    const sequences = draw(1, 7);
    const workload: Workload = {
      prompts: Array.from({ length: sequences }, () => draw(1, 12)),
      exits: Array.from({ length: sequences }, () => Array.from({ length: draw(0, 8) }, () => draw(1, loops))),
    };
    const maxRows = draw(1, 4);
    const options: Options = {
      maxRows,
      maxSequences: draw(maxRows, maxRows + 3),
      prefillChunk: draw(2, 8),
      kvPolicy: policies[i % policies.length]!,
      rowOrder: orders[i % orders.length]!,
    };
    const expected = await runtimeSteps(workload, options, batching);
    expect(simulated(workload, options, batching), JSON.stringify({ workload, options })).toEqual(expected);
  }
});
