import type { Command } from 'commander';
import { nearest } from '../../files/did-you-mean.ts';
import { UsageError } from './usage-error.ts';

/**
 * Refuses a command that there is not, also where its help is asked for, which commander answers with the help of
 * everything and exit code 0. Throws a UsageError.
 */
export function refuseUnknownCommand({ commands }: Command, argv: readonly string[]): void {
  const [first = '', second] = argv;
  const name = first === 'help' ? (second ?? 'help') : first;
  if (name === '' || name === 'help' || name.startsWith('-')) return;
  const names = commands.map((command) => command.name());
  if (names.includes(name)) return;
  const near = nearest(name, names);
  throw new UsageError(`There is no command "${name}".${near === undefined ? '' : ` Did you mean "${near}"?`}`);
}
