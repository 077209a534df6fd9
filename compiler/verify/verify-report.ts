/** What `rtc verify --json` prints. */
export interface VerifyDocument {
  readonly version: 1;
  readonly ok: boolean;
  readonly outputs: readonly OutputReport[];
  /** With engines: what ran them, how often, and in which profiles. */
  readonly executedBy?: string;
}

/** How one output of the package compares, over everything that was run. */
export interface OutputReport {
  readonly name: string;
  /** Largest difference; null when an element is not a number or infinite. */
  readonly maxAbs: number | null;
  /** The same over the largest magnitude of the reference output. */
  readonly maxRel: number | null;
  /** What `maxRel` may be. */
  readonly tolerance: number;
  /** Share of positions whose largest element is the reference's; null for outputs where that says nothing. */
  readonly argmaxAgreement: number | null;
  readonly ok: boolean;
}

/** The first element of an output that is too far from the reference. */
export interface Difference {
  readonly output: string;
  /** What was run, such as `three rows padded on the left, call 2`. */
  readonly run: string;
  /** Coordinates of the element, and what its axes are called. */
  readonly index: readonly number[];
  readonly axes: readonly string[];
  readonly actual: number;
  readonly expected: number;
  /** The difference that is allowed here. */
  readonly allowed: number;
  /** Said instead of the element when the output has another shape. */
  readonly shapes: { readonly actual: readonly number[]; readonly expected: readonly number[] } | undefined;
}

/** Everything that verifying found out. */
export interface VerifyReport {
  readonly document: VerifyDocument;
  /** For each output that differs its first position, in the order of the outputs. */
  readonly differences: readonly Difference[];
  /** What the package was compared with, and what ran it: two sentences. */
  readonly against: string;
  readonly executedBy: string;
}
