/**
 * tiny-mistral as models with prebuilt libraries are published: a folder in MLC's layout, its tokenizer with the plain
 * surfaces of control tokens, nothing of ours in its configuration, and a library. The library and the weights that it
 * reads are ours, since no other compiler is at hand.
 */
import type { GpuCaps } from '../../src/modellib/gpu-caps.ts';
import { link } from '../../src/modellib/link.ts';
import { lower } from '../../src/modellib/lower.ts';
import { CONFIG_FILE, parseModelFiles, TENSOR_CACHE_FILE } from '../../src/models/model-files.ts';
import { createMlcFolder, type MlcConfig } from './mlc-folder.ts';

export const LIBRARY_NAME = 'library.wasm';

export interface PrebuiltFolderOptions {
  /** Over what the folder's `mlc-chat-config.json` has. */
  config?: MlcConfig;
  /** False: no file of the folder has a chat template, so that its configuration tells. Default true. */
  hasTemplate?: boolean;
}

/**
 * @param readOurs reads a file of tiny-mistral as we import it
 * @param caps of the device that the library is for
 * @returns contents by name
 */
export async function createPrebuiltFolder(
  readOurs: (name: string) => Promise<Uint8Array>,
  caps: GpuCaps,
  { config = {}, hasTemplate = true }: PrebuiltFolderOptions = {},
): Promise<Map<string, Uint8Array>> {
  const readJson = async (name: string) => JSON.parse(new TextDecoder().decode(await readOurs(name)));
  const toBytes = (value: object) => new TextEncoder().encode(JSON.stringify(value));
  const tensorCache = await readJson(TENSOR_CACHE_FILE);
  const { description, chat, shards } = parseModelFiles(await readJson(CONFIG_FILE), tensorCache);
  // Libraries of others know nothing of control tokens.
  const { spec } = lower({ ...description, controlTokenIds: [] }, caps, {
    contextLength: chat.contextLength,
    prefillChunkLength: 64,
  });

  const published = createMlcFolder().files;
  const own = JSON.parse(new TextDecoder().decode(published.get(CONFIG_FILE)));
  const files = new Map<string, Uint8Array>([
    [CONFIG_FILE, toBytes({ ...own, ...config })],
    [TENSOR_CACHE_FILE, toBytes({ ...tensorCache, metadata: {} })],
    ['tokenizer.json', published.get('tokenizer.json')!],
    [LIBRARY_NAME, link(spec)],
  ]);
  if (hasTemplate) files.set('tokenizer_config.json', published.get('tokenizer_config.json')!);
  for (const { name } of shards) files.set(name, await readOurs(name));
  return files;
}

/** A `conv_template` of the kind that MLC has for Ministral 3, system prompt and all. */
export const MINISTRAL3_CONVERSATION = {
  name: 'ministral3',
  system_template: '[SYSTEM_PROMPT]{system_message}[/SYSTEM_PROMPT]',
  system_message: 'Say $& and [INST].',
  system_prefix_token_ids: [1],
  add_role_after_system_message: true,
  roles: { user: '[INST]', assistant: '[/INST]', tool: '[TOOL_RESULTS]' },
  role_templates: { user: '{user_message}', assistant: '{assistant_message}', tool: '{tool_message}' },
  seps: ['', '</s>'],
  role_content_sep: '',
  role_empty_sep: '',
  stop_str: ['</s>'],
  stop_token_ids: [2],
};
