import { describe, expect, test } from 'vitest';
import type { Graph } from '../../ir/graph.ts';
import { parseGraph } from '../../ir/parse.ts';
import { printGraph } from '../../ir/print.ts';
import { cse } from '../../passes/cse.ts';
import { foldConstants } from '../../passes/fold-constants.ts';
import { mergeLora } from '../../passes/merge-lora.ts';
import type { RunPass, StablePass } from '../../passes/pass.ts';
import { Refusal } from '../../passes/refusal.ts';
import { replay } from '../../passes/replay.ts';
import { type DebugMessage, runPasses } from '../../passes/run-passes.ts';

const text = `graph(%x: f32[batch,4]) {
  weight %w: f32[4,4] = file "m.safetensors" "w" f32[4,4] @0+64
  weight %a: f32[1,4] = file "m.safetensors" "a" f32[1,4] @64+16
  weight %b: f32[4,1] = file "m.safetensors" "b" f32[4,1] @80+16
  %one: f32[] = constant {dtype=f32, dims=[], values=[1]}
  %y: f32[batch,4] = linear %x, %w
  %update: f32[batch,4] = low_rank %x, %a, %b, %one
  %z: f32[batch,4] = add %y, %update
  return %z
}
`;

function source(): Graph<'unrolled'> {
  const parsed = parseGraph(text);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.graph as Graph<'unrolled'>;
}

const pipeline = (graph: Graph<'unrolled'>, run: RunPass): Graph<'unrolled'> =>
  run(foldConstants, run(mergeLora({ strategy: 'keep' }), graph));

/** A pass that throws, or that gives back a graph with an operation missing. */
function broken(how: 'throws' | 'invalid'): StablePass {
  return {
    name: 'broken',
    options: { how },
    numerics: 'exact',
    changesInterface: false,
    run: (graph) => {
      if (how === 'throws') throw new Error('no such luck\nat all');
      return { ...graph, ops: graph.ops.slice(1) };
    },
  };
}

describe('runPasses', () => {
  test('runs a pipeline, keeping times, sizes and notes', () => {
    let now = 0;
    const result = runPasses(source(), pipeline, { clock: () => now++ });
    if (result.outcome !== 'done') return expect.fail(result.outcome);
    expect(result.passes.map(({ name, milliseconds, ops }) => [name, milliseconds, ops])).toEqual([
      ['merge-lora', 1, 5],
      ['fold-constants', 1, 5],
    ]);
    expect(result.passes[0]!.notes.at(-1)).toBe('keep: as asked');
  });

  test('hands out every graph as text, numbered, that can be read back', () => {
    const dumps = new Map<string, string>();
    runPasses(source(), pipeline, { onDump: (name, dump) => dumps.set(name, dump) });
    expect([...dumps.keys()]).toEqual(['00-source', '01-merge-lora', '02-fold-constants']);
    expect(dumps.get('00-source')).toBe(text);
    for (const dump of dumps.values()) expect(parseGraph(dump).ok).toBe(true);
  });

  test('stops behind a pass', () => {
    const result = runPasses(source(), pipeline, { stopAfter: 'merge-lora' });
    if (result.outcome !== 'stopped') return expect.fail(result.outcome);
    expect(result.passes.map(({ name }) => name)).toEqual(['merge-lora']);
    expect(printGraph(result.graph)).toContain('%update.a: f32[batch,1] = linear %x, %a');
  });

  test('a branch has names, numbers and a place to stop of its own', () => {
    const dumps: string[] = [];
    const two = (graph: Graph<'unrolled'>, run: RunPass) => {
      const merged = run(mergeLora({ strategy: 'keep' }), graph);
      const branch = run.branch('other');
      return { main: run(cse, merged), other: branch(foldConstants, branch(cse, merged)) };
    };
    const onDump = (name: string) => dumps.push(name);
    const result = runPasses(source(), two, { onDump });
    if (result.outcome !== 'done') return expect.fail(result.outcome);
    expect(result.graph.other.ops).toHaveLength(result.graph.main.ops.length);
    expect(dumps).toEqual(['00-source', '01-merge-lora', '02-cse', 'other-00-cse', 'other-01-fold-constants']);
    expect(result.passes.map(({ name, branch }) => [name, branch])).toEqual([
      ['merge-lora', undefined],
      ['cse', undefined],
      ['cse', 'other'],
      ['fold-constants', 'other'],
    ]);
    const stopped = runPasses(source(), two, { stopAfter: 'other-cse' });
    expect(stopped).toMatchObject({ outcome: 'stopped', passes: [{}, {}, { branch: 'other' }] });
  });

  test('what a pass refuses comes back in its words, and is nobody’s bug', () => {
    const refusing: StablePass = {
      ...broken('throws'),
      run: () => {
        throw new Refusal('One thing.', 'Another.');
      },
    };
    expect(runPasses(source(), (graph, run) => run(refusing, graph))).toEqual({
      outcome: 'refused',
      pass: 'broken',
      problems: ['One thing.', 'Another.'],
      passes: [],
    });
  });

  test('says at each level what it is for', () => {
    const messages: DebugMessage[] = [];
    runPasses(source(), pipeline, { onDebug: (message) => messages.push(message), clock: () => 0 });
    const at = (level: number) => messages.filter((message) => message.level === level).map((message) => message.text);
    expect(at(1)).toEqual(['merge-lora: 0.0 ms, 5 operations', 'fold-constants: 0.0 ms, 5 operations']);
    expect(at(2)).toEqual(['merge-lora: linear +2, low_rank −1']);
    expect(at(3)).toContain('merge-lora: keep: as asked');
    expect(at(4)).toHaveLength(3);
  });

  test.each([
    ['throws', 'no such luck\nat all', '// pass: broken {"how":"throws"}\n// no such luck\n// at all\n'],
    ['invalid', /%one/, '// pass: broken {"how":"invalid"}\n// '],
  ] as const)('a pass that %s comes back with a reproducer', (how, message, head) => {
    const result = runPasses(source(), (graph, run) => run(broken(how), run(cse, graph)));
    if (result.outcome !== 'broken') return expect.fail(result.outcome);
    expect(result.breakage.pass).toBe('broken');
    expect(result.breakage.message).toMatch(message);
    expect(result.breakage.reproducer.startsWith(head)).toBe(true);
    expect(result.breakage.reproducer.endsWith(text)).toBe(true);
  });

  test('does not look at graphs when it is told not to', () => {
    const result = runPasses(source(), (graph, run) => run(broken('invalid'), graph), { verifyEach: false });
    expect(result.outcome).toBe('done');
  });

  test('a source that is wrong is not blamed on the first pass', () => {
    const result = runPasses({ ...source(), ops: source().ops.slice(1) }, pipeline);
    if (result.outcome !== 'broken') return expect.fail(result.outcome);
    expect(result.breakage.pass).toBe('source');
    expect(result.breakage.reproducer).not.toContain('// pass:');
  });

  test('an aborted signal throws its reason before the next pass', () => {
    const controller = new AbortController();
    const stop: StablePass = {
      ...cse,
      run: (graph) => {
        controller.abort(new Error('enough'));
        return graph;
      },
    };
    const names: string[] = [];
    const run = () =>
      runPasses(source(), (graph, run) => pipeline(run(stop, graph), run), {
        signal: controller.signal,
        onDump: (name) => names.push(name),
      });
    expect(run).toThrow('enough');
    expect(names).toEqual(['00-source', '01-cse']);
  });
});

describe('replay', () => {
  test('runs the passes that a text names, with their options', () => {
    const result = replay(`// pass: merge-lora {"strategy":"bake"}\n// pass: remove-dead-code\n${text}`);
    if (!('outcome' in result) || result.outcome !== 'done') return expect.fail(JSON.stringify(result));
    expect(printGraph(result.graph)).toContain('merge<1>');
    expect(printGraph(result.graph)).not.toContain('%one');
  });

  test('a reproducer is replayed as it is', () => {
    const result = replay(runReproducer());
    expect('outcome' in result && result.outcome).toBe('done');
  });

  test.each([
    ['// pass: bake-lora\n', /There is no pass "bake-lora". There are cse, /],
    ['// pass: merge-lora {"strategy":"all"}\n', '{"strategy":"all"} are no options of the pass "merge-lora".'],
    ['// pass: merge-lora {strategy}\n', /options that are not JSON/],
    ['// pass: constructor\n', /There is no pass "constructor"/],
    ['graph(', /^\d+:\d+: /],
  ])('says what is wrong with %j', (head, message) => {
    const result = replay(head + text);
    expect('problems' in result && result.problems[0]).toMatch(message);
  });
});

/** What a broken mergeLora would leave. */
function runReproducer(): string {
  const throwing: StablePass = {
    ...mergeLora({ strategy: 'concatenate' }),
    run: () => {
      throw new Error('mended since');
    },
  };
  const result = runPasses(source(), (graph, run) => run(throwing, graph));
  if (result.outcome !== 'broken') throw new Error(result.outcome);
  return result.breakage.reproducer;
}
