/**
 * The tokenizer that WebLLM bundles and does not export: the very code that will read our tokenizer.json. The package
 * stays as it is; a copy of its module in a temporary folder gets one more export.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface WebLlmTokenizer {
  encode(text: string): Int32Array;
  decode(ids: Int32Array): string;
  getVocabSize(): number;
  idToToken(id: number): string;
  dispose(): void;
}

interface TokenizerModule {
  TestedTokenizer: { fromJSON(json: ArrayBuffer): Promise<WebLlmTokenizer> };
}

/** The line of @mlc-ai/web-llm 0.2.86 that binds the tokenizers' exports; a version that differs fails here. */
const BINDING = 'return libExports.Tokenizer.fromJSON(model);';

/** The bundle's Emscripten part has a branch for Node that the bundler broke: it must take itself for a worker. */
const WORKER_GLOBALS =
  "const process = undefined, importScripts = () => {}, self = { location: { href: 'file:///' } };";

function exposeTokenizer(): string {
  const source = readFileSync(createRequire(import.meta.url).resolve('@mlc-ai/web-llm'), 'utf8');
  if (!source.includes(BINDING)) throw new Error('WebLLM binds its tokenizer elsewhere: update this file');
  const code = [
    WORKER_GLOBALS,
    source.replace(/\/\/# sourceMappingURL=.*\s*$/, ''),
    'export const TestedTokenizer = libExports.Tokenizer;\n',
  ].join('\n');
  const folder = join(tmpdir(), 'tramontane-tests');
  const path = join(
    folder,
    `webllm-tokenizer-${createHash('sha256').update(code).digest('hex').slice(0, 16)}.mjs`,
  );
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, code);
    renameSync(draft, path);
  }
  return path;
}

/** Loads a tokenizer.json as WebLLM does. The caller disposes it. */
export async function loadWebLlmTokenizer(tokenizerJson: string): Promise<WebLlmTokenizer> {
  const url = pathToFileURL(exposeTokenizer()).href;
  const { TestedTokenizer } = (await import(/* @vite-ignore */ url)) as TokenizerModule;
  return TestedTokenizer.fromJSON(new TextEncoder().encode(tokenizerJson).buffer as ArrayBuffer);
}
