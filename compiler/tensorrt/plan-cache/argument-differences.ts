import type { Difference } from './explain-miss.ts';

/** Flags of a profile's shapes, which stand behind the profile that they belong to. */
const shapeFlags: readonly string[] = ['--minShapes', '--optShapes', '--maxShapes'];

/** Inputs that a difference of shapes names. */
const mostInputs = 3;

/** What an argument is called where flags come several times: the profile's number goes with its shapes. */
interface NamedArgument {
  readonly name: string;
  /** What stands behind the first `=`; undefined: nothing does. */
  readonly value: string | undefined;
}

/**
 * In which arguments two calls of trtexec differ: one difference a flag, those of shapes by profile and with the inputs
 * that differ. Where all are the same but not their order, that is the one difference.
 * @param profiles names of the profiles by their numbers, as far as they are known
 */
export function argumentDifferences(
  before: readonly string[],
  after: readonly string[],
  profiles: readonly string[],
): readonly Difference[] {
  const [was, now] = [nameArguments(before, profiles), nameArguments(after, profiles)];
  const differences: Difference[] = [];
  for (const name of new Set([...was.keys(), ...now.keys()])) {
    const difference = compare(name, was.get(name) ?? [], now.get(name) ?? []);
    if (difference) differences.push(difference);
  }
  if (differences.length === 0 && (before.length !== after.length || before.some((word, i) => word !== after[i]))) {
    return [{ part: 'argument', message: 'the arguments are the same, in another order' }];
  }
  // Shapes are many and say much of the same.
  const isShape = ({ name = '' }: Difference) => name.includes(' of profile ');
  return [...differences.filter((each) => !isShape(each)), ...differences.filter(isShape)];
}

/** Values by name, in the order in which they are first met. */
function nameArguments(list: readonly string[], profiles: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const named = new Map<string, string[]>();
  let profile: string | undefined;
  for (const word of list) {
    const { name: flag, value } = split(word);
    if (flag === '--profile') profile = value;
    const known = profile === undefined ? undefined : profiles[Number(profile)];
    const title = known === undefined ? `profile ${profile}` : `profile ${profile} (${known})`;
    const inProfile = profile !== undefined && (shapeFlags.includes(flag) || flag === '--profile');
    const name = inProfile ? (flag === '--profile' ? title : `${flag} of ${title}`) : flag;
    named.set(name, [...(named.get(name) ?? []), value ?? '']);
  }
  return named;
}

function compare(name: string, was: readonly string[], now: readonly string[]): Difference | undefined {
  const [before, after] = [was.join(' '), now.join(' ')];
  if (was.length === now.length && before === after) return undefined;
  const said = (value: string) => (value === '' || name.startsWith('profile ') ? name : `${name}=${shorten(value)}`);
  if (was.length === 0) return { part: 'argument', name, now: after, message: `${said(after)} is new` };
  if (now.length === 0) return { part: 'argument', name, was: before, message: `${said(before)} is gone` };
  const message = shapeFlags.some((flag) => name.startsWith(`${flag} `))
    ? `${name}: ${shapeChanges(before, after)}`
    : `${name} is ${quote(after)}, and was ${quote(before)}`;
  return { part: 'argument', name, was: before, now: after, message };
}

/** `rows 1x8 was 1x4; depth is new` */
function shapeChanges(before: string, after: string): string {
  const [was, now] = [shapesOf(before), shapesOf(after)];
  const changes = [...new Set([...now.keys(), ...was.keys()])].flatMap((input) => {
    const [old, shape] = [was.get(input), now.get(input)];
    if (old === shape) return [];
    if (old === undefined) return [`${input} is new`];
    return [
      shape === undefined ? `${input} is gone` : `${input} is ${shape || 'a scalar'}, and was ${old || 'a scalar'}`,
    ];
  });
  const shown = changes.slice(0, mostInputs).join('; ');
  return changes.length > mostInputs
    ? `${shown}; and ${changes.length - mostInputs} more`
    : shown || 'the inputs stand in another order';
}

/** Sizes by input; the last colon separates, as names may have some. */
function shapesOf(list: string): ReadonlyMap<string, string> {
  return new Map(
    list.split(',').map((item) => {
      const colon = item.lastIndexOf(':');
      return colon < 0 ? [item, ''] : [item.slice(0, colon), item.slice(colon + 1)];
    }),
  );
}

function split(word: string): NamedArgument {
  const equals = word.indexOf('=');
  return equals < 0 ? { name: word, value: undefined } : { name: word.slice(0, equals), value: word.slice(equals + 1) };
}

function quote(value: string): string {
  return value === '' ? 'without a value' : `"${shorten(value)}"`;
}

function shorten(value: string): string {
  return value.length > 80 ? `${value.slice(0, 77)}...` : value;
}
