/** Model folders over HTTP, for tests that run in Node and in a browser alike. */

export interface ServedModel {
  /** Of the folder, with a slash at its end. */
  url: string;
  readFile(name: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

const isNode = typeof process !== 'undefined' && process.versions?.node !== undefined;

function served(url: string, close: () => Promise<void>): ServedModel {
  return {
    url,
    async readFile(name) {
      const response = await fetch(url + name);
      if (!response.ok) throw new Error(`${url}${name} answered ${response.status}`);
      return new Uint8Array(await response.arrayBuffer());
    },
    close,
  };
}

/**
 * In a browser the folder comes from Vitest's server, which serves the repository; `tests/tools/make-models.ts` made
 * it before. In Node a server is started, and WebLLM's globals are put in place.
 * @param folder relative to the repository
 */
export async function serveModel(folder: string): Promise<ServedModel> {
  if (!isNode) return served(new URL(`/${folder}/`, location.origin).href, async () => undefined);
  // Node's modules, out of sight of the browser's bundler.
  const load = (path: string) => import(/* @vite-ignore */ new URL(path, import.meta.url).href);
  const { installDawn } = await load('../../scripts/lib/dawn.ts');
  await installDawn();
  const { startStaticServer } = await load('../../scripts/lib/static-server.mjs');
  const { ROOT } = await load('../../scripts/lib/up-to-date.ts');
  const server = await startStaticServer({ mounts: { '/': `${ROOT}/${folder}` } });
  return served(server.url, () => server.close());
}

export const TINY_MISTRAL_FOLDER = '.cache/tiny-mistral/model';
export const TINY_MISTRAL_PLAIN_FOLDER = '.cache/tiny-mistral-plain/model';
export const SMOLLM2_FOLDER = 'public/models/smollm2-135m-instruct';

/** Models of `scripts/oracle/format_models.py`: builds as llama.cpp makes them, and one of the types these lack. */
export const FORMAT_MODELS = ['q4-k-m', 'q4-0', 'iq4-xs', 'assorted'] as const;
export type FormatModel = (typeof FORMAT_MODELS)[number];

export const FORMAT_MODELS_FOLDER = '.cache/format-models';
