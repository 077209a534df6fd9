import { z } from 'zod';
import type { Diagnostic } from './diagnostics.ts';
import { didYouMean } from './did-you-mean.ts';
import { type JsonDocument, type JsonPath, locationOf, showPath, showValue, valueAt } from './json.ts';

/**
 * What a schema found wrong with a document, each with its place, what was found and what was expected.
 * @param schema the schema that found it; it knows the keys to suggest for a misspelt one
 */
export function issueDiagnostics(
  document: JsonDocument,
  issues: readonly z.core.$ZodIssue[],
  schema: z.ZodType,
): readonly Diagnostic[] {
  return issues.flatMap((issue) => {
    const path = issue.path.filter((step) => typeof step !== 'symbol');
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(document, path, key, schema));
    return [valueProblem(document, path, issue)];
  });
}

function unknownKey(document: JsonDocument, path: JsonPath, key: string, schema: z.ZodType): Diagnostic {
  const within = path.length === 0 ? `"${document.file}"` : `"${showPath(path)}"`;
  const known = knownKeys(schema, path);
  const suggestion = didYouMean(key, known);
  return {
    severity: 'error',
    code: 'unknown-key',
    location: locationOf(document, [...path, key], 'key'),
    message: `There is no key "${key}" in ${within}.${suggestion}`,
    ...(suggestion === '' && known.length > 0 ? { hint: `Known keys are ${known.join(', ')}.` } : {}),
  };
}

function valueProblem(document: JsonDocument, path: JsonPath, issue: z.core.$ZodIssue): Diagnostic {
  const value = valueAt(document, path);
  const at = path.length === 0 ? 'the file' : `"${showPath(path)}"`;
  const location = locationOf(document, path);
  if (value === undefined) {
    const message = `The key ${at} is missing; ${expectation(issue)} was expected.`;
    return { severity: 'error', code: 'missing-key', location, message };
  }
  const message = `Expected ${expectation(issue)} at ${at}, found ${showValue(value)}.`;
  const code = issue.code === 'invalid_type' ? 'wrong-type' : 'wrong-value';
  return { severity: 'error', code, location, message };
}

function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return typeNames[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return oneOf(issue.values.map((v) => JSON.stringify(v)));
    case 'too_small':
      return issue.origin === 'array'
        ? `a list of at least ${issue.minimum}`
        : issue.origin === 'string'
          ? 'text that is not empty'
          : `a number ${issue.inclusive ? 'of at least' : 'above'} ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'array' ? `a list of at most ${issue.maximum}` : `a number of at most ${issue.maximum}`;
    default:
      // Refinements and formats say in their own words what they expect.
      return issue.message;
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
};

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? values[0]! : `one of ${values.join(', ')}`;
}

/** The keys that the schema knows for the object at `path`, read from the JSON Schema that it prints. */
function knownKeys(schema: z.ZodType, path: JsonPath): readonly string[] {
  let node: JsonSchema | undefined = z.toJSONSchema(schema, { io: 'input' }) as JsonSchema;
  for (const step of path) node = typeof step === 'number' ? node?.items : node?.properties?.[step];
  return Object.keys(node?.properties ?? {});
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
}
