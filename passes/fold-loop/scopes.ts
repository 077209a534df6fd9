/** The component of a scope that stands for a loop's body once it is folded. */
const block = 'block';

/**
 * The scope of an operation of the block, from its scopes at every depth: the first component that differs, `depth.0`
 * to `depth.2`, becomes `block`. One with another name stays as it is at depth 0, below a `block` of its own.
 */
export function blockScope(scopes: readonly string[]): string {
  const [first, ...others] = scopes.map((scope) => scope.split('/'));
  const at = first!.findIndex((part, i) => others.some((parts) => parts[i] !== part));
  if (at < 0) return scopes[0]!;
  const depths = [first!, ...others].every((parts, depth) => parts[at] === `depth.${depth}`);
  return [...first!.slice(0, at), block, ...first!.slice(depths ? at + 1 : at)].join('/');
}

/** The scope of an operation of the block at one depth: the reverse of {@link blockScope}. */
export function depthScope(scope: string, depth: number): string {
  const parts = scope.split('/');
  const at = parts.indexOf(block);
  return at < 0 ? scope : [...parts.slice(0, at), `depth.${depth}`, ...parts.slice(at + 1)].join('/');
}

/** The part of a scope that belongs to the loop itself: up to `block`. */
export function loopScope(scope: string): string {
  const parts = scope.split('/');
  return parts.slice(0, parts.indexOf(block) + 1).join('/');
}
