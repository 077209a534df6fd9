/** Codes of diagnostics that say that engines are still to be built: trtexec was wanted for that, and is. */
export const enginesMissingCodes = ['no-engines'] as const;
