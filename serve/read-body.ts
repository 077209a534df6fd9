import type { z } from 'zod';
import { didYouMean } from '../files/did-you-mean.ts';
import { badRequest, type Problem, refused, type Served, served } from './refusal.ts';

/** Problems that are told at once, so that an answer to nonsense stays short. */
const mostProblems = 20;

/** A body as an object of parameters, or what is wrong with it in OpenAI's words. */
export function readBody<S extends z.ZodObject>(body: unknown, schema: S): Served<z.infer<S>> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return served(parsed.data);
  const [first, ...others] = parsed.error.issues
    .slice(0, mostProblems)
    .flatMap((issue) => problemsOf(issue, body, schema))
    .slice(0, mostProblems);
  return refused(badRequest(first ?? { message: 'The body makes no sense.' }, ...others));
}

function problemsOf(issue: z.core.$ZodIssue, body: unknown, schema: z.ZodObject): readonly Problem[] {
  const path = issue.path.filter((step) => typeof step !== 'symbol');
  const param = pathName(path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, mostProblems).map((key) => unknownParameter(key, path, schema));
    case 'invalid_type': {
      if (path.length === 0) return [{ message: 'The body has to be a JSON object.', code: 'invalid_type' }];
      const found = valueAt(body, path);
      if (found === undefined) {
        return [{ message: `You must provide a "${param}" parameter.`, param, code: 'missing_required_parameter' }];
      }
      const message = `Invalid type for "${param}": expected ${typeNames[issue.expected] ?? issue.expected}, got ${typeName(found)}.`;
      return [{ message, param, code: 'invalid_type' }];
    }
    case 'too_small':
    case 'too_big': {
      const [least, most] = issue.code === 'too_small' ? [issue.minimum] : [undefined, issue.maximum];
      const strict = issue.inclusive === false;
      const bound =
        least === undefined ? `${strict ? 'below' : 'at most'} ${most}` : `${strict ? 'above' : 'at least'} ${least}`;
      const what = issue.origin === 'array' ? 'a list of ' : issue.origin === 'string' ? 'a length of ' : '';
      return [{ message: `Invalid "${param}": expected ${what}${bound}.`, param, code: 'invalid_value' }];
    }
    case 'invalid_value': {
      const values = issue.values.map((value) => JSON.stringify(value)).join(', ');
      return [{ message: `Invalid "${param}": expected one of ${values}.`, param, code: 'invalid_value' }];
    }
    case 'invalid_union': {
      // The alternative that names a place inside the value is the one that was meant; else all are told apart by type.
      const deeper = issue.errors.find((errors) => errors.some((inner) => inner.path.length > 0));
      if (deeper === undefined) return [{ message: `Invalid type for "${param}".`, param, code: 'invalid_type' }];
      return deeper.flatMap((inner) => problemsOf({ ...inner, path: [...path, ...inner.path] }, body, schema));
    }
    default:
      // Refinements say in their own words what they expect.
      return [{ message: `Invalid "${param}": ${issue.message}.`, param, code: 'invalid_value' }];
  }
}

function unknownParameter(key: string, path: readonly (string | number)[], schema: z.ZodObject): Problem {
  const param = pathName([...path, key]);
  const near = path.length === 0 ? didYouMean(key, Object.keys(schema.shape)) : '';
  const shown = param.length > 100 ? `${param.slice(0, 100)}…` : param;
  return {
    message: `Unrecognized request argument supplied: ${shown}.${near}`,
    param: shown,
    code: 'unknown_parameter',
  };
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'an integer',
  boolean: 'a boolean',
  object: 'an object',
  array: 'an array',
};

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) return 'a number that is too large';
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a decimal number';
  return typeNames[typeof value] ?? typeof value;
}

function pathName(path: readonly (string | number)[]): string {
  return path.reduce<string>(
    (name, step) => (typeof step === 'number' ? `${name}[${step}]` : name === '' ? step : `${name}.${step}`),
    '',
  );
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inner, step) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, step) : undefined),
    value,
  );
}
