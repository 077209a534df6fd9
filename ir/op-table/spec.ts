import type { Dim } from '../dims.ts';
import type { TensorType } from '../tensor-type.ts';

/**
 * The kinds of attribute. `dim` may be symbolic; `numbers` holds the elements of a constant.
 * A list of strings is a choice of one of them.
 */
export type AttrKind = 'int' | 'float' | 'bool' | 'ints' | 'numbers' | 'dim' | 'dims' | 'dtype' | readonly string[];

export type AttrValue = number | boolean | string | readonly number[] | readonly Dim[];

/** What one operation is. Builder, printer, parser and verifier read nothing else. */
export interface OpSpec {
  /** In order. `name?` may be left out (only at the end); `name...` stands for any number (only alone or last). */
  readonly operands: readonly string[];
  readonly attrs: Readonly<Record<string, AttrKind>>;
  /** True for the operation that has a body; its types are checked by the verifier, together with the body. */
  readonly body?: true;
  /** The types of the results, or a sentence on what does not fit. */
  readonly infer: (
    operands: readonly TensorType[],
    attrs: Readonly<Record<string, AttrValue>>,
  ) => readonly TensorType[] | string;
}
