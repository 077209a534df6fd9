import { totalmem } from 'node:os';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import type { KvPolicy } from '../depth-batched/core.ts';
import type { StepShape } from '../depth-batched/step-model.ts';

/** What an engine takes, stated before it starts. */
export interface EngineLimits {
  /** Rows of a decoding step, at most. */
  readonly maxRows: number;
  /** Sequences that hold pages at once, at most; others wait. */
  readonly maxSequences: number;
  /** Positions of the longest sequence that can be served. */
  readonly maxPositions: number;
  /** Pages of the shared block's layers, one depth of a sequence each; page 0, which is only padding, is not counted. */
  readonly pages: number;
  /** Pages of prelude and coda; 0 for a model without. */
  readonly boundaryPages: number;
  /** Bytes of all pages. They are reserved at once, and become real when they are first written. */
  readonly pageBytes: number;
}

/** Options that are numbers, and what limits depend on; undefined is the default. */
export interface LimitOptions {
  readonly maxRows?: number | undefined;
  readonly maxSequences?: number | undefined;
  readonly maxPositions?: number | undefined;
  readonly pageBytes?: number | undefined;
  readonly kvPolicy?: KvPolicy | undefined;
  readonly prefillChunk?: number | undefined;
  readonly threads?: number | undefined;
}

const wholeNumbers = ['maxRows', 'maxSequences', 'maxPositions', 'pageBytes', 'prefillChunk', 'threads'] as const;

export const defaultMaxRows = 16;

/** The part of the machine's memory that pages take unless told otherwise. */
const defaultShare = 1 / 4;

/** Elements of the largest array that Node 20 makes of numbers; a layer's keys are one. */
const arrayElements = 2 ** 32;

/** Memory that this process may use, in bytes: the machine's, or less where a container says so. */
export function machineMemory(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem();
}

/**
 * How many pages there are and what they take. By default as many as `maxSequences` sequences of `maxPositions` need,
 * up to a quarter of the memory; at least one sequence of the length that was asked for. Fails when that is more than
 * the memory, or more than the bytes that were given hold.
 * @param modelPositions positions that the model was made for; infinite when it does not say
 * @param memory bytes of the machine, see {@link machineMemory}
 */
export function engineLimits(
  shape: StepShape,
  modelPositions: number,
  options: LimitOptions,
  memory: number,
): Result<EngineLimits> {
  const problems = wholeNumbers.flatMap((name) => checkWhole(name, options[name]));
  if (problems.length > 0) return failure(...problems);
  const { maxRows = defaultMaxRows, kvPolicy = 'last-exited' } = options;
  const { maxSequences = maxRows } = options;
  const wanted = Math.min(options.maxPositions ?? Number.POSITIVE_INFINITY, modelPositions);

  // A span is what one sequence takes for as many positions as a page has.
  const { block, boundary } = pageBytesOf(shape);
  const depths = kvPolicy === 'shared' ? 1 : shape.loops;
  const span = depths * block + boundary;
  const padding = block + boundary;
  const spansOf = (positions: number) => Math.ceil(positions / shape.pageSize);
  const bytesOf = (spans: number) => padding + spans * span;

  const least = options.maxPositions === undefined ? 1 : spansOf(wanted);
  const most = spansOf(wanted) * maxSequences;
  const budget = options.pageBytes ?? Math.max(memory * defaultShare, bytesOf(least));
  const pagesOfArray = Math.floor(arrayElements / (shape.kvHeads * shape.pageSize * shape.headDim)) - 1;
  const spans = Math.min(most, Math.floor((budget - padding) / span), Math.floor(pagesOfArray / depths));
  if (spans < least) {
    return failure(tooFewBytes(options, bytesOf(least), Math.min(least * shape.pageSize, wanted)));
  }
  if (bytesOf(spans) > memory) return failure(tooMuchMemory(bytesOf(spans), memory, options));
  return success({
    maxRows,
    maxSequences,
    maxPositions: Math.min(wanted, spans * shape.pageSize),
    pages: spans * depths,
    boundaryPages: boundary === 0 ? 0 : spans,
    pageBytes: bytesOf(spans),
  });
}

/** Bytes of a page of the block's layers, keys and values, and of one of prelude and coda. */
export function pageBytesOf(shape: StepShape): { readonly block: number; readonly boundary: number } {
  const layer = 2 * shape.kvHeads * shape.pageSize * shape.headDim * (shape.dtype === 'f16' ? 2 : 4);
  return { block: shape.block * layer, boundary: (shape.prelude + shape.coda) * layer };
}

function checkWhole(name: string, value: number | undefined): readonly Diagnostic[] {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 1)) return [];
  const message = `${name} is ${value}; a whole number of at least 1 was expected.`;
  return [{ severity: 'error', code: 'bad-option', message }];
}

function tooFewBytes({ pageBytes, maxPositions }: LimitOptions, needed: number, positions: number): Diagnostic {
  const shorter = maxPositions === undefined ? '' : ', or lower maxPositions';
  return {
    severity: 'error',
    code: 'too-few-pages',
    message: `Pages of ${pageBytes} bytes hold no sequence of ${positions} positions; that takes ${needed} bytes.`,
    hint: `Give pages at least ${needed} bytes (pageBytes)${shorter}.`,
  };
}

function tooMuchMemory(needed: number, memory: number, options: LimitOptions): Diagnostic {
  const lower = options.pageBytes === undefined ? 'maxPositions' : 'pageBytes';
  return {
    severity: 'error',
    code: 'too-much-memory',
    message: `Pages would take ${needed} bytes, and this machine has ${memory}.`,
    hint: `Lower ${lower}.`,
  };
}
