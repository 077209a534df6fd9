/** Codes of diagnostics that are about trtexec, or about the machine that it runs on. */
export const trtexecCodes = [
  'trtexec-missing',
  /** A version that nothing is written for any more. */
  'trtexec-too-old',
  'trtexec-timeout',
  /** Of the GPU, or of the machine. */
  'trtexec-out-of-memory',
  'trtexec-disk-full',
  'trtexec-no-gpu',
  /** A library that it is linked with is not found. */
  'trtexec-library',
  /** The parser refuses the graph. */
  'trtexec-parser',
  /** A flag or a value that this version does not take. */
  'trtexec-option',
  /** Sizes that the graph or a profile does not take. */
  'trtexec-shapes',
  'trtexec-timing-cache',
  /** An engine of another version or another GPU. */
  'trtexec-other-engine',
  /** Ended by a signal. */
  'trtexec-crashed',
  /** Everything else. */
  'trtexec-failed',
] as const;

export type TrtexecCode = (typeof trtexecCodes)[number];
