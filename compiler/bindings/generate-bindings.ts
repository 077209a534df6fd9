import { posix } from 'node:path';
import type { SourceFile } from 'ts-morph';
import type { GraphTensor, PackageManifest } from '../../files/manifest.ts';

/** What bindings are made from; a package's manifest has all of it. */
export type BindingsSource = Pick<PackageManifest, 'name' | 'rtc' | 'form' | 'graphs'>;

/** Where bindings lie in a package. */
export const bindingsName = 'bindings.ts';

/**
 * A TypeScript module for a package, to be put beside its rtc.json: for every graph the types of its inputs and
 * outputs, a loader on onnxruntime-node with a typed `run`, and, where it has a cache, an empty one and how outputs
 * become the next. The same source gives the same text. The module stands alone: it imports onnxruntime-node only.
 */
export async function generateBindings({ name, rtc, form, graphs }: BindingsSource): Promise<string> {
  // ts-morph brings a whole TypeScript along; only those who ask for bindings wait for it to load.
  const { IndentationText, NewLineKind, Project, QuoteKind } = await import('ts-morph');
  const project = new Project({
    useInMemoryFileSystem: true,
    manipulationSettings: {
      indentationText: IndentationText.TwoSpaces,
      newLineKind: NewLineKind.LineFeed,
      quoteKind: QuoteKind.Single,
    },
  });
  const file = project.createSourceFile(bindingsName);
  for (const [path, { inputs, outputs }] of Object.entries(graphs)) addGraph(file, path, inputs, outputs);
  const body = file.getFullText();
  file.addImportDeclarations([
    { moduleSpecifier: 'node:path', namedImports: ['dirname', 'join'] },
    { moduleSpecifier: 'node:url', namedImports: ['fileURLToPath'] },
    {
      moduleSpecifier: 'onnxruntime-node',
      namedImports: [
        'InferenceSession',
        // Strict projects refuse imports that nobody uses.
        ...(/\bTensor\b/.test(body) ? ['Tensor'] : []),
        ...(/\bTypedTensor\b/.test(body) ? [{ name: 'TypedTensor', isTypeOnly: true }] : []),
      ],
    },
  ]);
  const head = `// Written by rtc ${rtc} for ${JSON.stringify(name)}, form ${form}. Compile again instead of editing.`;
  return `${head}\n${file.getFullText().trimEnd()}\n`;
}

function addGraph(
  file: SourceFile,
  path: string,
  inputs: readonly GraphTensor[],
  outputs: readonly GraphTensor[],
): void {
  const graph = pascalCase(posix.basename(path, '.onnx'));
  addTensors(file, `${graph}Inputs`, `What ${path} takes.`, inputs);
  addTensors(file, `${graph}Outputs`, `What ${path} gives.`, outputs);
  const caches = inputs.filter(({ name }) => name.startsWith(pastPrefix));
  if (caches.length > 0 && caches.every(({ dtype }) => elementNames[dtype])) addCache(file, graph, caches);
  addSession(file, graph, path);
  addLoader(file, graph, path);
}

function addTensors(file: SourceFile, name: string, description: string, tensors: readonly GraphTensor[]): void {
  file.addInterface({
    name,
    isExported: true,
    docs: [description],
    properties: tensors.map((tensor) => ({
      name: propertyName(tensor.name),
      isReadonly: true,
      type: tensorType(tensor),
      docs: [tensorDoc(tensor)],
    })),
  });
}

function addCache(file: SourceFile, graph: string, caches: readonly GraphTensor[]): void {
  file.addTypeAlias({
    name: `${graph}Past`,
    isExported: true,
    docs: ['Keys and values of all that was read so far.'],
    type: `Pick<${graph}Inputs, Extract<keyof ${graph}Inputs, \`${pastPrefix}\${string}\`>>`,
  });
  file.addFunction({
    name: `empty${graph}Past`,
    isExported: true,
    docs: ['The cache before the first token.'],
    parameters: [{ name: 'batch', type: 'number' }],
    returnType: `${graph}Past`,
    statements: [objectReturned(caches.map((cache) => [cache.name, emptyTensor(cache)]))],
  });
  file.addFunction({
    name: `next${graph}Past`,
    isExported: true,
    docs: ['The cache behind a run, for the next one. Nothing is copied.'],
    parameters: [
      {
        name: 'outputs',
        type: `Pick<${graph}Outputs, Extract<keyof ${graph}Outputs, \`${presentPrefix}\${string}\`>>`,
      },
    ],
    returnType: `${graph}Past`,
    statements: [
      objectReturned(caches.map(({ name }) => [name, `outputs[${quoted(name.replace(pastPrefix, presentPrefix))}]`])),
    ],
  });
}

function addSession(file: SourceFile, graph: string, path: string): void {
  file.addInterface({
    name: `${graph}Session`,
    isExported: true,
    docs: [`${path}, loaded into ONNX Runtime.`],
    methods: [
      {
        name: 'run',
        docs: ['Computes all outputs.'],
        parameters: [{ name: 'inputs', type: `${graph}Inputs` }],
        returnType: `Promise<${graph}Outputs>`,
      },
      {
        name: 'run',
        docs: ['Computes all outputs and hands over those that are named; every one handed over is a copy.'],
        typeParameters: [{ name: 'Name', constraint: `keyof ${graph}Outputs` }],
        parameters: [
          { name: 'inputs', type: `${graph}Inputs` },
          { name: 'outputs', type: 'readonly Name[]' },
        ],
        returnType: `Promise<Pick<${graph}Outputs, Name>>`,
      },
      { name: 'release', docs: ['Frees the weights.'], returnType: 'Promise<void>' },
    ],
  });
}

function addLoader(file: SourceFile, graph: string, path: string): void {
  file.addFunction({
    name: `load${graph}`,
    isExported: true,
    isAsync: true,
    docs: [
      `Loads ${path} and the weights beside it.\n` +
        '@param folder the package; by default the folder of this file\n' +
        "@param options ONNX Runtime's own",
    ],
    parameters: [
      { name: 'folder', initializer: 'dirname(fileURLToPath(import.meta.url))' },
      { name: 'options', type: 'InferenceSession.SessionOptions', initializer: '{}' },
    ],
    returnType: `Promise<${graph}Session>`,
    statements: [
      `const session = await InferenceSession.create(join(folder, ${path.split('/').map(quoted).join(', ')}), options);`,
      'return {',
      `  run: async (inputs: ${graph}Inputs, outputs?: readonly string[]) => {`,
      '    const feeds = { ...inputs };',
      '    const results = await (outputs ? session.run(feeds, outputs) : session.run(feeds));',
      `    return results as unknown as ${graph}Outputs;`,
      '  },',
      '  release: () => session.release(),',
      '};',
    ],
  });
}

const pastPrefix = 'past_key_values.';
const presentPrefix = 'present.';

type ElementName = readonly [ort: string, array: string] | undefined;

/** ONNX Runtime's name of an element type, and the array that holds its elements; it has no bfloat16. */
const elementNames: Readonly<Record<GraphTensor['dtype'], ElementName>> = {
  f64: ['float64', 'Float64Array'],
  f32: ['float32', 'Float32Array'],
  f16: ['float16', 'Uint16Array'],
  bf16: undefined,
  i64: ['int64', 'BigInt64Array'],
  i32: ['int32', 'Int32Array'],
  i8: ['int8', 'Int8Array'],
  i4: ['int4', 'Uint8Array'],
  u8: ['uint8', 'Uint8Array'],
  bool: ['bool', 'Uint8Array'],
};

function tensorType({ dtype }: GraphTensor): string {
  const names = elementNames[dtype];
  return names === undefined ? 'Tensor' : `TypedTensor<${quoted(names[0])}>`;
}

function tensorDoc({ dtype, dims }: GraphTensor): string {
  const note = elementNames[dtype] === undefined ? '; onnxruntime-node has no tensors of this type yet' : '';
  return dims.length === 0 ? `${dtype}, one number${note}` : `${dtype} [${dims.join(', ')}]${note}`;
}

function emptyTensor({ dtype, dims }: GraphTensor): string {
  const [type, array] = elementNames[dtype]!;
  const sizes = dims.map((dim) => (dim === 'batch' || typeof dim === 'number' ? dim : 0));
  return `new Tensor(${quoted(type)}, new ${array}(0), [${sizes.join(', ')}])`;
}

function objectReturned(entries: readonly (readonly [string, string])[]): string {
  return ['return {', ...entries.map(([name, value]) => `  ${propertyName(name)}: ${value},`), '};'].join('\n');
}

function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name);
}

function quoted(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

/** `model` → `Model`, `block-step` → `BlockStep` */
function pascalCase(name: string): string {
  const words = name.split(/[^A-Za-z0-9]+/).filter((word) => word !== '');
  return words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('') || 'Graph';
}
