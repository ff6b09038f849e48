/**
 * Writes what `models/model-files.ts` reads: WebLLM's `mlc-chat-config.json` and `tensor-cache.json`, with our own
 * additions under `tramontane`. WebLLM's conversation template is left empty, because we render prompts ourselves.
 */

import type { BuiltTokenizer } from '../../formats/tokenizer/build-tokenizer.ts';
import type { ChatTemplate } from '../../models/chat-template.ts';
import type { Architecture } from '../../models/model-description.ts';
import { MODEL_FILES_VERSION, type ModelOrigin, TOKENIZER_FILE } from '../../models/model-files.ts';
import type { ImportPlan, TensorRecord } from './import-plan.ts';

export interface ModelConfigFacts {
  architecture: Architecture;
  template: ChatTemplate;
  tokenizer: Omit<BuiltTokenizer, 'tokenizerJson'>;
  contextLength: number;
  temperature: number;
  topP: number;
  repetitionPenalty: number;
  origin: ModelOrigin;
}

/** The content of `mlc-chat-config.json`. */
export function createModelConfig(facts: ModelConfigFacts): object {
  const { architecture, template, tokenizer, origin } = facts;
  return {
    version: '0.1.0',
    model_type: 'llama',
    quantization: origin.quantization,
    model_config: {
      hidden_size: architecture.hiddenSize,
      num_hidden_layers: architecture.layerCount,
      num_attention_heads: architecture.headCount,
      num_key_value_heads: architecture.kvHeadCount,
      head_dim: architecture.headDim,
      intermediate_size: architecture.intermediateSize,
      vocab_size: architecture.vocabularySize,
      rms_norm_eps: architecture.rmsNormEpsilon,
      rope_theta: architecture.ropeTheta,
      tie_word_embeddings: architecture.tiedEmbeddings,
      max_position_embeddings: architecture.maxContextLength,
    },
    vocab_size: architecture.vocabularySize,
    context_window_size: facts.contextLength,
    sliding_window_size: -1,
    attention_sink_size: -1,
    temperature: facts.temperature,
    top_p: facts.topP,
    repetition_penalty: facts.repetitionPenalty,
    ...describeTokenizer(tokenizer),
    tramontane: {
      version: MODEL_FILES_VERSION,
      name: origin.name,
      quantization: origin.quantization,
      parameter_count: origin.parameterCount,
      ...describePrompts(template, tokenizer),
      source: {
        name: origin.sourceName,
        ...(origin.sha256 === null ? {} : { sha256: origin.sha256 }),
        ...(origin.listedSha256 === null ? {} : { sha256_listed: origin.listedSha256 }),
        ...(origin.licence === null ? {} : { licence: origin.licence }),
        ...(origin.url === null ? {} : { url: origin.url }),
      },
    },
  };
}

type TokenizerFacts = ModelConfigFacts['tokenizer'];

/** What WebLLM is told of a tokenizer of ours, with no template of its own. */
export function describeTokenizer(tokenizer: TokenizerFacts): object {
  return {
    tokenizer_files: [TOKENIZER_FILE],
    // How WebLLM's grammars read the token table.
    tokenizer_info: {
      token_postproc_method: tokenizer.family === 'sentencepiece' ? 'byte_fallback' : 'byte_level',
      prepend_space_in_encode: tokenizer.addsSpacePrefix,
      strip_space_in_decode: tokenizer.addsSpacePrefix,
    },
    conv_template: plainTemplate(tokenizer.stopTokenIds),
  };
}

/** What we need to write prompts, as `models/model-files.ts` reads it under `tramontane`. */
export function describePrompts(template: ChatTemplate, tokenizer: TokenizerFacts): object {
  return {
    template: template.id,
    ...(template.defaultSystemPrompt === null ? {} : { default_system_prompt: template.defaultSystemPrompt }),
    control_tokens: tokenizer.controlTokens.map(({ id, surface }) => ({ id, surface })),
    stop_token_ids: tokenizer.stopTokenIds,
  };
}

export interface WrittenShard {
  dataPath: string;
  format: 'raw-shard';
  nbytes: number;
  /** In hex. */
  sha256: string;
  records: readonly TensorRecord[];
}

/** The content of `tensor-cache.json`. */
export function createTensorCache(plan: ImportPlan, shards: readonly WrittenShard[]): object {
  return {
    metadata: {
      tramontane: {
        version: MODEL_FILES_VERSION,
        matrices: Object.fromEntries(plan.matrices),
        vectors: Object.fromEntries(plan.vectors),
      },
    },
    records: shards,
  };
}

/** WebLLM's conversation template, adding nothing: turns come rendered. */
export function plainTemplate(stopTokenIds: readonly number[]): Record<string, unknown> {
  return {
    name: 'tramontane',
    system_template: '{system_message}',
    system_message: '',
    render_empty_system_message: false,
    roles: { user: '', assistant: '', tool: '' },
    seps: [''],
    role_content_sep: '',
    role_empty_sep: '',
    stop_str: [],
    stop_token_ids: [...stopTokenIds],
  };
}
