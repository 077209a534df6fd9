/** A matrix in float32, row by row. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  /** `rows · cols` numbers; element (i, j) at `i · cols + j`. */
  readonly data: Float32Array;
}
