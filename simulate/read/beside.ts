import { dirname, isAbsolute, join } from 'node:path';

/** A file that another one names: relative to the folder of that one, shown as the user would name it. */
export function beside(file: string, named: string): string {
  return isAbsolute(named) ? named : join(dirname(file), named);
}
