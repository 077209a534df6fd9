import { CommanderError } from 'commander';

/** The command line makes no sense: exit code 2, and no page of help on top of it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** What to do instead, if there is one thing to name. */
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** What commander found wrong, in our words; undefined when it only stopped to print help or the version. */
export function usageErrorOf(error: unknown): UsageError | undefined {
  if (error instanceof UsageError) return error;
  if (!(error instanceof CommanderError) || error.exitCode === 0) return undefined;
  const [first = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const sentence = rephrase(error.code, first);
  const near = suggestion?.match(/Did you mean (.*)\?/)?.[1];
  return new UsageError(near === undefined ? sentence : `${sentence} Did you mean "${near}"?`);
}

/** Commander's sentences name things in single quotes and start in the middle. */
function rephrase(code: string, message: string): string {
  const [name = '', second = ''] = [...message.matchAll(/'([^']*)'/g)].map((match) => match[1]!);
  switch (code) {
    case 'commander.unknownOption':
      return `There is no option "${name}".`;
    case 'commander.unknownCommand':
      return `There is no command "${name}".`;
    case 'commander.missingArgument':
      return `${name.toUpperCase()} is missing.`;
    case 'commander.optionMissingArgument':
      return `The option "${name}" needs a value.`;
    case 'commander.missingMandatoryOptionValue':
      return `The option "${name}" is missing.`;
    case 'commander.conflictingOption':
      return `The options "${name}" and "${second}" do not go together.`;
    case 'commander.excessArguments':
      return `There are ${message.match(/got (\d+)/)?.[1] ?? 'too many'} arguments where ${message.match(/Expected (\d+)/)?.[1] ?? 'fewer'} ${message.includes('Expected 1 ') ? 'was' : 'were'} expected.`;
    default:
      return `${message.charAt(0).toUpperCase()}${message.slice(1).replace(/\.?$/, '.')}`;
  }
}
