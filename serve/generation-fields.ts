import { z } from 'zod';

/** Stop strings that are longer than this are a mistake. */
const longestStop = 1000;

/** A parameter that OpenAI has and rtc does not: values that change nothing are let through. */
function unsupported(harmless: readonly unknown[], hint: string): z.ZodType<unknown> {
  const same = (value: unknown) => harmless.some((known) => JSON.stringify(known) === JSON.stringify(value));
  return z.custom((value) => value === null || same(value), `${hint}`).optional();
}

const text = z.string();
const ignored = z.unknown().optional();

/** Parameters that both endpoints have. `null` is the same as nothing, as with OpenAI. */
export const generationFields = {
  model: text.nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  n: z.int().min(1).max(128).nullish(),
  seed: z.int().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
    .nullish(),
  stop: z
    .unknown()
    .optional()
    .superRefine((value, context) => {
      for (const message of stopProblems(value)) context.addIssue({ code: 'custom', message });
    })
    .transform((value): readonly string[] => [value ?? []].flat() as string[]),

  // Extensions, named as the options of `rtc run` are.
  top_k: z.int().min(1).nullish(),
  exit_threshold: z.number().nullish(),
  exit_at: z.int().min(1).nullish(),
  mean_loops: z.number().min(1).nullish(),
  ignore_eos: z.boolean().nullish(),
  /** Puts token ids and the loop behind which each was chosen into the answer. */
  return_token_ids: z.boolean().nullish(),

  presence_penalty: unsupported([0], 'penalties are not supported; leave it out'),
  frequency_penalty: unsupported([0], 'penalties are not supported; leave it out'),
  logit_bias: unsupported([{}], 'a bias of logits is not supported; leave it out'),
  user: ignored,
  metadata: ignored,
  store: ignored,
  service_tier: ignored,
  safety_identifier: ignored,
  prompt_cache_key: ignored,
} as const;

/** What is neither text nor a list of up to four texts, in the middle of a sentence. */
function stopProblems(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  const stops = Array.isArray(value) ? value : [value];
  if (!stops.every((stop) => typeof stop === 'string')) return ['expected a string or an array of strings'];
  return [
    ...(stops.length > 4 ? [`there can be 4 stop strings, and these are ${stops.length}`] : []),
    ...(stops.includes('') ? ['a stop string cannot be empty'] : []),
    ...(stops.some((stop) => stop.length > longestStop)
      ? [`a stop string can have ${longestStop} characters at most`]
      : []),
  ];
}

/** Parameters that both endpoints have, as a request gave them. */
export type GenerationFields = z.infer<z.ZodObject<typeof generationFields>>;

/** Parameters that only one endpoint has and that are not supported. */
export { unsupported };
