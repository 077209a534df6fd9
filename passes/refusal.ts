/**
 * Thrown by a pass when a graph is valid but cannot be what the pass has to make of it: the fault of whoever made the
 * graph, not of the pass. The runner gives it back as the outcome `refused`.
 */
export class Refusal extends Error {
  /** Sentences that name the operation and say why. */
  readonly problems: readonly string[];
  constructor(...problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}
