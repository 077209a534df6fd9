/** Sizes of one input in a profile, one number an axis; min ≤ opt ≤ max for each. */
export interface ShapeRange {
  readonly min: readonly number[];
  readonly opt: readonly number[];
  readonly max: readonly number[];
}

/** One optimization profile: what an engine is tuned for, and between which sizes it runs. */
export interface Profile {
  /** `decode`, `small`, `prefill` … */
  readonly name: string;
  /** Every input of the graph that has a size which is not fixed, in the graph's order. */
  readonly inputs: Readonly<Record<string, ShapeRange>>;
}

/** An engine that is to be built from a graph. */
export interface EnginePlan {
  /** File in the package: `step.onnx`. */
  readonly graph: string;
  /** File to make: `step.all.plan`, or with engines apart `step.decode.plan`. */
  readonly plan: string;
  /** In the order of their numbers. */
  readonly profiles: readonly Profile[];
}
