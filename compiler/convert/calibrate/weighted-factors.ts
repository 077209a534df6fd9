import { divideByRoot, type MomentRoot, rootMatrix } from '../../../convert/allot/moment-root.ts';
import type { Matrix } from '../../../convert/matrix.ts';
import { type Decomposing, type Factorise, plainFactors } from '../factorise.ts';

/**
 * The best factors of a residual R for inputs x with E[x xᵀ] ≈ L·Lᵀ: of all B·A of a rank, those that leave the least of
 * the mean of ‖(R − B·A) x‖², which is ‖(R − B·A) L‖². So R·L = UΣVᵀ is taken apart, B = UΣ and A = Vᵀ·L⁻¹; the singular
 * values are those of R·L, and what each brings back is of that norm.
 */
export function weightedFactors(root: MomentRoot, decomposing: Decomposing): Factorise {
  const plain = plainFactors(decomposing);
  return async (residual, rank) => {
    const { a, b, singular } = await plain(await weighted(residual, root, decomposing), rank);
    return { a: divideByRoot(a, root), b, singular };
  };
}

async function weighted(
  residual: Matrix,
  root: MomentRoot,
  { product }: Pick<Decomposing, 'product'>,
): Promise<Matrix> {
  if (root.kind === 'triangle') return product(residual, rootMatrix(root));
  const { rows, cols, data } = residual;
  const scaled = new Float32Array(data.length);
  for (let i = 0; i < scaled.length; i++) scaled[i] = data[i]! * root.diagonal[i % cols]!;
  return { rows, cols, data: scaled };
}
