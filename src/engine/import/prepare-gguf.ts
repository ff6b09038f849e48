/** From a GGUF's header to everything that is known of the model before a weight is read. */
import { FILE_TYPES } from '../../formats/gguf/ggml-types.ts';
import {
  type Gguf,
  locateErrors,
  metadataInteger,
  metadataRange,
  metadataString,
} from '../../formats/gguf/gguf.ts';
import { buildTokenizerJson } from '../../formats/tokenizer/build-tokenizer.ts';
import type { TemplateId } from '../../models/chat-template.ts';
import type { ModelOrigin } from '../../models/model-files.ts';
import { recogniseTemplate } from '../../models/recognise-template.ts';
import { stemOf } from './build-names.ts';
import { readSourceModel } from './gguf-architecture.ts';
import type { PreparedModel } from './source-model.ts';
import { checkVocabulary } from './vocabulary-check.ts';

export interface PrepareOptions {
  /** What to write of the source, over what it tells itself. */
  origin?: Partial<Pick<ModelOrigin, 'name' | 'sourceName' | 'sha256' | 'listedSha256' | 'licence' | 'url'>>;
  /** Recommended sampling, over what source and template tell. */
  sampling?: { temperature?: number; topP?: number };
}

/**
 * @throws FormatError `format-*`, `architecture-unsupported`; TramontaneError `tokenizer-*`, `template-unsupported`:
 *   with the key or tensor at fault and its offset, where the file has it
 */
export function prepareGguf(gguf: Gguf, options: PrepareOptions = {}): PreparedModel {
  return locateErrors(gguf, () => prepare(gguf, options));
}

function prepare(gguf: Gguf, options: PrepareOptions): PreparedModel {
  const { metadata } = gguf;
  const model = readSourceModel(gguf);
  const tokens = metadata.get('tokenizer.ggml.tokens');
  // Before a tokenizer is built of them: its tables take many times the tokens' bytes.
  if (tokens?.type === 'array') checkVocabulary(tokens.value.length, model.architecture.vocabularySize);
  const tokenizer = buildTokenizerJson(metadata);
  const template = recogniseTemplate(metadataString(metadata, 'tokenizer.chat_template'), tokenizer);
  const { temperature, topP } = options.sampling ?? {};
  return {
    layout: 'gguf',
    model,
    tokenizer,
    template,
    sampling: {
      temperature:
        temperature ??
        metadataRange(metadata, 'general.sampling.temp', 0, 2) ??
        recommendedTemperature(template.id),
      topP: topP ?? metadataRange(metadata, 'general.sampling.top_p', 0, 1) ?? 1,
    },
    origin: describeOrigin(gguf, model.parameterCount, options.origin ?? {}),
  };
}

/** What Mistral recommends for Small; for other models a middle way. */
export function recommendedTemperature(template: TemplateId): number {
  return template === 'chatml' ? 0.7 : 0.15;
}

function describeOrigin(
  gguf: Gguf,
  parameterCount: number,
  given: NonNullable<PrepareOptions['origin']>,
): ModelOrigin {
  const text = (key: string) => metadataString(gguf.metadata, key);
  const sourceName = given.sourceName ?? 'model.gguf';
  const fileType = metadataInteger(gguf.metadata, 'general.file_type');
  return {
    name: given.name ?? text('general.name') ?? stemOf(sourceName),
    quantization: (fileType === null ? undefined : FILE_TYPES[fileType]) ?? mostUsedType(gguf),
    parameterCount,
    sourceName,
    sha256: given.sha256 ?? null,
    listedSha256: given.listedSha256 ?? null,
    licence: given.licence ?? text('general.license'),
    url: given.url ?? text('general.source.url') ?? text('general.url'),
  };
}

/** The type that most bytes of the file are stored in. */
function mostUsedType(gguf: Gguf): string {
  const bytes = new Map<string, number>();
  for (const { type, byteLength } of gguf.tensors) bytes.set(type, (bytes.get(type) ?? 0) + byteLength);
  return [...bytes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'none';
}
