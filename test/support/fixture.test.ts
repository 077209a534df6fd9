import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { rewriteGraph } from '../../ir/rewrite.ts';
import type { StablePass } from '../../passes/pass.ts';
import { checkFixture } from './fixture.ts';

const text = `a sum of a value with itself is twice the value

// input
graph(%x: f32[batch,3]) {
  %y: f32[batch,3] = add %x, %x
  return %y
}

// output
graph(%x: f32[batch,3]) {
  %constant: f32[] = constant {dtype=f32, dims=[], values=[2]}
  %y: f32[batch,3] = mul %x, %constant
  return %y
}
`;

function doubling(factor: number, numerics: 'exact' | 'reassociates' = 'exact'): StablePass {
  return {
    name: 'doubling',
    numerics,
    changesInterface: false,
    run: (graph, { note }) =>
      rewriteGraph(graph, graph.stage, (op, { builder, operands: [a, b] }) => {
        if (op.kind !== 'add' || a !== b) return undefined;
        note('doubled');
        return [builder.add('mul', [a!, builder.constant('f32', factor)], {}, op.results[0]!.name)];
      }),
  };
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-fixture-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function fixtureFile(content: string): string {
  const file = join(folder, 'case.rtc');
  writeFileSync(file, content);
  return file;
}

describe('checkFixture', () => {
  test('passes when text and numbers agree, and hands on what the pass said', async () => {
    expect((await checkFixture(doubling(2), fixtureFile(text))).notes).toEqual(['doubled']);
  });

  test('fails when the text differs', async () => {
    await expect(checkFixture(doubling(2), fixtureFile(text.replace('mul', 'div')))).rejects.toThrow(
      'not the one of the fixture',
    );
  });

  test('fails when text agrees and numbers do not', async () => {
    const wrong = text.replace('values=[2]', 'values=[2.001]');
    await expect(checkFixture(doubling(2.001, 'reassociates'), fixtureFile(wrong))).rejects.toThrow('element 0');
  });

  test('fails when a pass that should do nothing does something, and when the input is not in canonical text', async () => {
    const unchanged = text.replace(/\/\/ output[\s\S]*/, '// unchanged\n');
    await expect(checkFixture(doubling(2), fixtureFile(unchanged))).rejects.toThrow('not the one of the fixture');
    const spaced = text.replace('add %x, %x', 'add %x,  %x');
    await expect(checkFixture(doubling(2), fixtureFile(spaced))).rejects.toThrow('not as it is printed');
  });

  test('names the line of the file where a graph cannot be read', async () => {
    await expect(checkFixture(doubling(2), fixtureFile(text.replace('add %x', 'plus %x')))).rejects.toThrow(
      /case\.rtc:5:22: there is no operation "plus"/,
    );
  });
});
