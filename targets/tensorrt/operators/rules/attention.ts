import { atLeast } from '../../versions.ts';
import { typeName } from '../element-types.ts';
import { attributeOf, type NodeFacts } from '../node-facts.ts';
import type { Rule } from '../rules.ts';
import type { Size, ValueFacts } from '../value-facts.ts';

/** Attention, and what goes with it: positions and caches. */
export const attentionRules: Readonly<Record<string, Rule>> = {
  Attention: (facts) => {
    checkOptionals(facts);
    const [q, k, v, mask] = [0, 1, 2, 3].map(facts.input);
    for (const [what, value] of [
      ['queries', q],
      ['keys', k],
      ['values', v],
      ['mask', mask],
    ] as const) {
      needRank(facts, what, value, 4);
    }
    checkHeads(facts, q?.dims, k?.dims, v?.dims);
    checkMask(facts, mask, q);
    const causal = attributeOf(facts.node, 'is_causal', 'int') === 1;
    if (causal && mask) {
      facts.report('It has a mask and is causal, which exclude each other.', 'Put the causal part into the mask.');
    } else if (causal && !sameKnown(q?.dims?.[2], k?.dims?.[2])) {
      facts.report(
        `It is causal from its first key on (upper left), to ${facts.parser}, and has not provably as many keys as queries.`,
        'Give it a mask instead of is_causal.',
      );
    }
    const scale = attributeOf(facts.node, 'scale', 'float');
    if (scale !== undefined && !(scale > 0)) {
      facts.report(
        `Its scale is ${scale}, and ${facts.parser} takes the root of it.`,
        'Scale the queries in front of it.',
      );
    }
  },
  TRT_Attention: (facts) => {
    const { node, input, report } = facts;
    const forms = ['query_form', 'kv_form'].map((name) => attributeOf(node, name, 'string') ?? 'padded_bhnd');
    const packed = forms.map((form) => form === 'packed_nhd');
    if (packed.includes(true) && !atLeast(facts.version, 11, 1)) {
      report(`It takes packed tokens, which are documented from TensorRT 11.1 on.`, 'Write for 11.1, or pad the rows.');
    }
    const parts = ['queries', 'keys', 'values'] as const;
    parts.forEach((what, i) => {
      needRank(facts, what, input(i), packed[i === 0 ? 0 : 1] ? 3 : 4);
    });
    if (packed[0] && !input(4)) report('Its queries are packed, and query_lengths is missing.', 'Add query_lengths.');
    if (packed[1] && !input(5)) report('Its keys are packed, and kv_lengths is missing.', 'Add kv_lengths.');
    if (input(3) && (attributeOf(node, 'causal_kind', 'string') ?? 'none') !== 'none') {
      report('It has a mask and a causal_kind, which exclude each other.', 'Leave one of them out.');
    }
    checkMask(facts, input(3), input(0));
  },
  RotaryEmbedding: (facts) => {
    const { node, input, inputs, parser, report } = facts;
    const x = input(0);
    if (x && x.dims === undefined) unknownRank(facts, 'input', x);
    if (x?.dims?.length === 3 && !attributeOf(node, 'num_heads', 'int')) {
      report('Its input has three axes, and num_heads is missing.', 'Set num_heads.');
    }
    const positions = input(3);
    if (positions && positions.type !== 'INT64') {
      const type = positions.type === undefined ? undefined : typeName(positions.type);
      report(
        `Its position_ids are ${type ?? 'of an unknown type'}, and ${parser} reads INT64.`,
        'Cast them to INT64.',
        type,
      );
    }
    if (inputs.length > 3 && !positions) {
      report('Its fourth input is there and empty.', 'Leave it out of the list of inputs.');
    }
  },
  TensorScatter: (facts) => {
    const { node, input, parser, report } = facts;
    needRank(facts, 'cache', input(0), 4);
    needRank(facts, 'update', input(1), 4);
    if ((attributeOf(node, 'axis', 'int') ?? -2) !== -2) {
      report(`It writes along another axis than -2, the only one that ${parser} takes.`, 'Set axis to -2.');
    }
    if ((attributeOf(node, 'mode', 'string') ?? 'linear') !== 'linear') {
      report(`It writes in a circle, and ${parser} only in line.`, 'Set mode to linear.');
    }
  },
};

function checkOptionals({ node, inputs, input, parser, report }: NodeFacts): void {
  const past = ['past_key', 'past_value', 'nonpad_kv_seqlen'];
  past.forEach((name, i) => {
    if (input(4 + i)) report(`It has an input ${name}, which ${parser} does not take.`, pastHint(name));
  });
  if (inputs.length > 7) report(`It has ${inputs.length} inputs.`, 'Leave all but the mask out.');
  if (attributeOf(node, 'softcap', 'float')) {
    report(`It has a softcap, which ${parser} does not take.`, 'Write attention in parts.');
  }
  for (const name of ['qk_matmul_output_mode', 'softmax_precision']) {
    if (attributeOf(node, name, 'int')) report(`It says ${name}, which ${parser} does not take.`, 'Leave it out.');
  }
}

function pastHint(name: string): string {
  if (name === 'nonpad_kv_seqlen') return 'Say it by a mask.';
  return 'Join past and new keys and values with Concat in front of it.';
}

function checkHeads({ report }: NodeFacts, q: Dims, k: Dims, v: Dims): void {
  const [heads, kvHeads] = [q?.[1], k?.[1]];
  if (typeof heads === 'number' && typeof kvHeads === 'number' && heads % kvHeads !== 0) {
    report(`It has ${heads} query heads for ${kvHeads} KV heads.`, 'Query heads have to be a multiple of KV heads.');
  }
  const [wide, out] = [q?.[3], v?.[3]];
  if (typeof wide === 'number' && typeof out === 'number' && wide !== out) {
    report(
      `Its values are ${out} wide and its queries ${wide}, and what it gives is as wide as they.`,
      'Write it in parts.',
    );
  }
}

function checkMask({ parser, report }: NodeFacts, mask: ValueFacts | undefined, q: ValueFacts | undefined): void {
  if (!mask?.type || !q?.type || mask.type === 'BOOL' || mask.type === q.type) return;
  const [found, wanted] = [typeName(mask.type), typeName(q.type)];
  report(`Its mask is ${found}, and ${parser} takes BOOL or ${wanted}.`, `Cast the mask to ${wanted}.`, found);
}

function needRank(facts: NodeFacts, what: string, value: ValueFacts | undefined, rank: number): void {
  if (!value) return;
  if (value.dims === undefined) unknownRank(facts, what, value);
  else if (value.dims.length !== rank) {
    const found = `Its ${what} "${value.name}" ${what === 'mask' || what === 'cache' || what === 'update' ? 'has' : 'have'} ${value.dims.length} axes`;
    facts.report(`${found}, and ${facts.parser} takes ${rank}.`, 'Reshape what has not.');
  }
}

function unknownRank({ report }: NodeFacts, what: string, { name }: ValueFacts): void {
  report(
    `How many axes its ${what} "${name}" has cannot be found, and it matters.`,
    'Run shape inference on the model.',
  );
}

type Dims = readonly Size[] | undefined;

function sameKnown(a: Size, b: Size): boolean {
  return a !== undefined && a === b;
}
