import { describe, expect, test } from 'vitest';
import type { OnnxModel } from '../../targets/onnx/onnx-model.ts';
import { encodeModel } from '../../targets/onnx/proto.ts';
import { illegalInFile } from '../../targets/tensorrt/operators/check-legality.ts';
import { findings, version } from './lowered-models.ts';
import { constant, graphOf, info, int, modelOf, node, type } from './one-node-models.ts';

describe('what is around the nodes', () => {
  const relu = graphOf({
    nodes: [node('Relu', ['x'], ['y'])],
    inputs: [info('x', 'FLOAT', 'n')],
    outputs: [info('y', 'FLOAT', 'n')],
  });

  test.each(['a,b', "a'b", 'a"b', 'a*'])('an input called %s cannot be told trtexec', (name) => {
    const graph = { ...relu, nodes: [node('Relu', [name], ['y'])], inputs: [info(name, 'FLOAT', 'n')] };
    expect(findings(modelOf(graph), '11.1')).toEqual([expect.stringContaining('command line of trtexec')]);
    expect(findings(modelOf(relu), '11.1')).toEqual([]);
  });

  test('an output that is an input gets another name', () => {
    const graph = { ...relu, outputs: [...relu.outputs, info('x', 'FLOAT', 'n')] };
    expect(findings(modelOf(graph), '11.1')).toEqual([expect.stringContaining('x (output): It is an input as well')]);
  });

  test.each([
    [{ location: '../w.bin' }, 'have to lie beside the model'],
    [{ location: '/w.bin' }, 'have to lie beside the model'],
    [{ length: 12 }, 'It has 12 bytes where FP32 [4] takes 16'],
    [{ otherKeys: ['checksum', 'basepath'] }, 'says basepath, and the parser reads location, offset, length, checksum'],
    [{ offset: -8 }, 'Its bytes are at -8'],
  ])('external data: %o', (change, message) => {
    const data = { kind: 'external' as const, location: 'w.bin', offset: 8, length: 16 };
    const graph = (more: object) => ({
      ...relu,
      nodes: [node('Add', ['x', 'w'], ['y'])],
      inputs: [info('x', 'FLOAT', 4)],
      initializers: [{ name: 'w', elementType: 'FLOAT' as const, dims: [4], data: { ...data, ...more } }],
    });
    expect(findings(modelOf(graph(change)), '11.1')).toEqual([expect.stringContaining(message)]);
    expect(findings(modelOf(graph({})), '11.1')).toEqual([]);
  });

  test('initializers of bytes are for quantization alone', () => {
    const bytes = { ...constant('UINT8', [2], 1, 2), name: 'w' };
    const graph = { ...relu, initializers: [bytes] };
    expect(findings(modelOf(graph), '11.1')).toEqual([
      expect.stringContaining('w (initializer, UINT8): It is UINT8, which becomes INT32'),
    ]);
  });

  test('what nothing makes, and what two make', () => {
    const lost = { ...relu, nodes: [node('Add', ['x', 'lost'], ['y'])] };
    expect(findings(modelOf(lost), '11.1')).toEqual(
      expect.arrayContaining([expect.stringContaining('reads "lost", which nothing makes')]),
    );
    const twice = { ...relu, nodes: [node('Relu', ['x'], ['y']), node('Neg', ['x'], ['y'])] };
    expect(findings(modelOf(twice), '11.1')).toEqual([expect.stringContaining('It makes "y", which is there already')]);
  });

  test('graphs are sorted by the parser, so nodes in any order are fine', () => {
    const nodes = [node('Neg', ['h'], ['y']), node('Relu', ['x'], ['h'])];
    expect(findings(modelOf({ ...relu, nodes }), '11.1')).toEqual([]);
  });

  test('a file is read, and one that is none is told', () => {
    const read = illegalInFile(encodeModel(modelOf(relu)), version('11.1'));
    expect(read).toMatchObject({ ok: true, value: [] });
    expect(illegalInFile(new Uint8Array([1, 2, 3]), version('11.1'), 'odd.onnx')).toMatchObject({
      ok: false,
      diagnostics: [{ code: 'invalid-onnx', location: { file: 'odd.onnx' } }],
    });
  });
});

describe('functions', () => {
  const call = (inputs: readonly string[], name = 'rtc_twice') => node(name, inputs, ['y'], {}, 'local');
  const twice = {
    name: 'rtc_twice',
    domain: 'local',
    inputs: ['a'],
    outputs: ['b'],
    nodes: [node('Add', ['a', 'a'], ['b'])],
  };
  const graph = (nodes: readonly ReturnType<typeof node>[], dtype: 'FLOAT' | 'INT64' | 'BOOL' = 'FLOAT') =>
    graphOf({ nodes, inputs: [info('x', dtype, 'n')], outputs: [info('y', undefined)] });
  const check = (model: OnnxModel) => findings(model, '11.1').join('\n');

  test('a call is looked into with the types that it is given', () => {
    expect(check(modelOf(graph([call(['x'])]), 24, [twice]))).toBe('');
    expect(check(modelOf(graph([call(['x'])], 'BOOL'), 24, [twice]))).toContain('rtc_twice_y/Add_b (Add, BOOL)');
  });

  test('one that is called like an operator is never called', () => {
    const named = { ...twice, name: 'Softplus' };
    expect(check(modelOf(graph([call(['x'], 'Softplus')]), 24, [named]))).toContain(
      'Softplus (function): It is called like an operator',
    );
  });

  test('domains are not looked at, inputs are counted, and bodies are read in order', () => {
    expect(check(modelOf(graph([call(['x'])]), 24, [twice, { ...twice, domain: 'other' }]))).toContain(
      'another function of that name',
    );
    expect(check(modelOf(graph([call(['x', 'x'])]), 24, [twice]))).toContain('calls a function of 1 inputs with 2');
    expect(check(modelOf(graph([call([''])]), 24, [twice]))).toContain('calls a function of 1 inputs with 0');
    const unsorted = { ...twice, nodes: [node('Neg', ['h'], ['b']), node('Relu', ['a'], ['h'])] };
    expect(check(modelOf(graph([call(['x'])]), 24, [unsorted]))).toContain('It reads "h" before it is made');
  });

  test('a function that calls itself ends somewhere', () => {
    const endless = { ...twice, nodes: [node('rtc_twice', ['a'], ['b'], {}, 'local')] };
    expect(check(modelOf(graph([call(['x'])]), 24, [endless]))).toContain('more than 24 bodies and functions');
  });
});

describe('control flow', () => {
  const scalar = (name: string) => info(name, 'BOOL');
  const branch = (output: string, dims: readonly (number | string)[], op = 'Neg', dtype: 'FLOAT' | 'INT64' = 'FLOAT') =>
    graphOf({
      nodes: op === '' ? [] : [node(op, ['x'], [output])],
      outputs: [{ name: output, elementType: dtype, dims }],
    });
  const check = (model: OnnxModel) => findings(model, '11.1').join('\n');
  const graph = (then: ReturnType<typeof graphOf>, otherwise: ReturnType<typeof graphOf>, given = 'c') =>
    modelOf(
      graphOf({
        nodes: [
          node('If', [given], ['y'], {
            then_branch: { kind: 'graph', value: then },
            else_branch: { kind: 'graph', value: otherwise },
          }),
        ],
        inputs: [info('x', 'FLOAT', 'n'), scalar('c')],
        initializers: [{ ...constant('BOOL', [], 1), name: 'always' }],
        outputs: [info('y', undefined)],
      }),
    );

  test('If: names, axes and types of its branches', () => {
    expect(check(graph(branch('a', ['n']), branch('b', ['n'])))).toBe('');
    expect(check(graph(branch('a', ['n']), branch('a', ['n'])))).toContain('Both branches call an output "a"');
    expect(check(graph(branch('a', ['n']), branch('b', [], 'Size', 'INT64')))).toMatch(
      /FP32 and INT64[\s\S]*1 axes and "b" with 0/,
    );
    // A constant condition: only the branch that is taken is read.
    expect(check(graph(branch('a', ['n']), branch('a', ['n'], 'DFT'), 'always'))).toBe('');
    expect(check(graph(branch('a', ['n'], 'DFT'), branch('a', ['n']), 'always'))).toContain('no DFT');
  });

  const loop = (
    body: Partial<ReturnType<typeof graphOf>>,
    {
      trips = 'three',
      condition = '',
      outputs = ['y'],
    }: { trips?: string; condition?: string; outputs?: readonly string[] } = {},
  ) =>
    modelOf(
      graphOf({
        nodes: [
          node('Loop', [trips, condition, 'x'], outputs, {
            body: {
              kind: 'graph',
              value: graphOf({
                nodes: [node('Identity', ['going'], ['goes_on']), node('Neg', ['carried'], ['next'])],
                inputs: [info('i', 'INT64'), scalar('going'), info('carried', 'FLOAT', 'n')],
                outputs: [scalar('goes_on'), info('next', 'FLOAT', 'n')],
                ...body,
              }),
            },
          }),
        ],
        inputs: [info('x', 'FLOAT', 4), info('asked', 'INT64'), scalar('c')],
        initializers: [
          { ...constant('INT64', [], 3), name: 'three' },
          { ...constant('INT64', [], 2 ** 31 - 1), name: 'forever' },
        ],
        outputs: outputs.map((name) => info(name, undefined)),
      }),
    );
  const collecting = {
    nodes: [
      node('Identity', ['going'], ['goes_on']),
      node('Neg', ['carried'], ['next']),
      node('Exp', ['carried'], ['row']),
    ],
    outputs: [scalar('goes_on'), info('next', 'FLOAT', 'n'), info('row', 'FLOAT', 'n')],
  };

  test('Loop: what it carries keeps type and sizes', () => {
    expect(check(loop({}))).toBe('');
    const grows = {
      nodes: [
        node('Identity', ['going'], ['goes_on']),
        node('Concat', ['carried', 'carried'], ['next'], { axis: int(0) }),
      ],
      outputs: [scalar('goes_on'), info('next', undefined)],
    };
    expect(
      check(loop({ ...grows, outputs: [scalar('goes_on'), { ...info('next', 'FLOAT'), dims: undefined }] })),
    ).toContain('with sizes [4] and gets [8] back');
    const casts = {
      nodes: [node('Identity', ['going'], ['goes_on']), node('Cast', ['carried'], ['next'], { to: type('FLOAT16') })],
      outputs: [scalar('goes_on'), info('next', 'FLOAT16', 'n')],
    };
    expect(check(loop(casts))).toContain('carries "x" as FP32 and gets it back as FP16');
  });

  test('Loop: what it collects is as long as the trip count says', () => {
    const outputs = ['y', 'rows'];
    expect(check(loop(collecting, { outputs }))).toBe('');
    expect(check(loop(collecting, { outputs, trips: '' }))).toContain('has no trip count, which TensorRT 11.1 refuses');
    expect(check(loop(collecting, { outputs, trips: 'asked' }))).toContain('as often as "asked" says');
    expect(check(loop(collecting, { outputs, condition: 'c' }))).toContain('may end early');
    const stops = { ...collecting, nodes: [node('Not', ['going'], ['goes_on']), ...collecting.nodes.slice(1)] };
    expect(check(loop(stops, { outputs }))).toContain('may end early');
  });

  test('Loop: who runs forever does not know how often it ran', () => {
    const counts = {
      nodes: [
        node('Identity', ['going'], ['goes_on']),
        node('Cast', ['i'], ['f'], { to: type('FLOAT') }),
        node('Add', ['carried', 'f'], ['next']),
      ],
    };
    expect(check(loop(counts))).toBe('');
    expect(check(loop(counts, { trips: 'forever' }))).toContain('reads the number of the iteration');
    expect(check(loop(counts, { trips: '', condition: 'c' }))).toContain('it has no trip count');
    expect(check(loop({}, { trips: 'forever' }))).toBe('');
  });

  test('Scan: it needs a state', () => {
    const scan = (states: readonly string[]) =>
      modelOf(
        graphOf({
          nodes: [
            node('Scan', [...states, 'x'], [...states.map(() => 'last'), 'y'], {
              num_scan_inputs: int(1),
              body: {
                kind: 'graph',
                value: graphOf({
                  nodes: [node('Neg', ['row'], ['out']), ...states.map(() => node('Identity', ['state'], ['kept']))],
                  inputs: [...states.map(() => info('state', 'FLOAT')), info('row', 'FLOAT', 4)],
                  outputs: [...states.map(() => info('kept', 'FLOAT')), info('out', 'FLOAT', 4)],
                }),
              },
            }),
          ],
          inputs: [info('x', 'FLOAT', 'n', 4), info('s', 'FLOAT')],
          outputs: [info('y', undefined)],
        }),
      );
    expect(check(scan(['s']))).toBe('');
    expect(check(scan([]))).toContain('wants a state');
  });

  test('25 bodies, one in the other, are one too many', () => {
    const nested = (depth: number): ReturnType<typeof graphOf> =>
      depth === 0
        ? branch('y', ['n'])
        : graphOf({
            nodes: [
              node('If', ['c'], [`y${depth}`], {
                then_branch: { kind: 'graph', value: renamed(nested(depth - 1), `t${depth}`) },
                else_branch: { kind: 'graph', value: branch(`e${depth}`, ['n']) },
              }),
            ],
            outputs: [info(`y${depth}`, 'FLOAT', 'n')],
          });
    const renamed = (inner: ReturnType<typeof graphOf>, to: string) =>
      graphOf({
        nodes: [...inner.nodes, node('Identity', [inner.outputs[0]!.name], [to])],
        outputs: [info(to, 'FLOAT', 'n')],
      });
    const whole = (depth: number) => {
      const inner = nested(depth);
      return modelOf({ ...inner, inputs: [info('x', 'FLOAT', 'n'), scalar('c')] });
    };
    expect(check(whole(24))).toBe('');
    expect(check(whole(25))).toContain('more than 24 bodies and functions');
  });
});
