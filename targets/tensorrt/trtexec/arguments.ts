/** Flag and value of an argument; the first `=` separates, and an argument without one has an empty value. */
export function splitArgument(argument: string): readonly [flag: string, value: string] {
  const equals = argument.indexOf('=');
  return equals < 0 ? [argument, ''] : [argument.slice(0, equals), argument.slice(equals + 1)];
}

/** Flags of some arguments, without their values. */
export function flagsOf(args: readonly string[]): readonly string[] {
  return args.map((argument) => splitArgument(argument)[0]);
}
