import { type Diagnostic, failure, hasErrors, type Result, success } from '../../files/diagnostics.ts';
import { didYouMean } from '../../files/did-you-mean.ts';
import { type JsonDocument, locationOf, showValue } from '../../files/json.ts';
import { type ConfigFields, configFields } from './config-fields.ts';
import type { DecoderSpec, ModelType } from './decoder-spec.ts';
import { readGemma } from './gemma.ts';
import { readGptNeox } from './gpt-neox.ts';
import { readLlama } from './llama.ts';
import { readMistral } from './mistral.ts';
import { readQwen2 } from './qwen2.ts';
import { readQwen3 } from './qwen3.ts';
import { refuseForeignFeatures } from './refuse-foreign-features.ts';
import type { StoredTensors } from './stored-tensors.ts';

type ReadConfig = (config: ConfigFields, stored: StoredTensors) => DecoderSpec;

const readers: Readonly<Record<ModelType, ReadConfig>> = {
  llama: readLlama,
  mistral: readMistral,
  qwen2: readQwen2,
  qwen3: readQwen3,
  gemma: readGemma,
  gpt_neox: readGptNeox,
};

/** The decoder that a config.json describes, or everything that is wrong with it. */
export function readDecoderSpec(document: JsonDocument, stored: StoredTensors): Result<DecoderSpec> {
  const problems: Diagnostic[] = [];
  const config = configFields(document, problems);
  const { value } = document;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const message = `A config.json is an object; found ${showValue(value)}.`;
    return failure({ severity: 'error', code: 'wrong-type', location: locationOf(document, []), message });
  }
  const modelType = config.raw('model_type');
  if (typeof modelType !== 'string' || !isModelType(modelType)) {
    config.error(
      'unknown-model-type',
      'model_type',
      unknownModelType(modelType),
      `Known are ${Object.keys(readers).join(', ')}.`,
    );
    return failure(...problems);
  }
  refuseForeignFeatures(config);
  const spec = readers[modelType](config, stored);
  return hasErrors(problems) ? failure(...problems) : success(spec, problems);
}

function isModelType(name: string): name is ModelType {
  return Object.hasOwn(readers, name);
}

function unknownModelType(modelType: unknown): string {
  if (modelType === undefined) return 'The key "model_type" is missing; the name of an architecture was expected.';
  const suggestion = typeof modelType === 'string' ? didYouMean(modelType, Object.keys(readers)) : '';
  return `The model_type ${showValue(modelType)} is not one that rtc reads.${suggestion}`;
}
