/**
 * Feeds WebLLM from the weight store. WebLLM reads a model through the Cache API (`cacheBackend: 'cache'`): this object
 * has that shape, over our files. WebLLM asks for each shard twice and takes the bytes of the second answer only, so a
 * file is opened lazily and read once; while it uploads one shard, the next is read. At most two are held.
 */
import { TramontaneError } from '../base/errors.ts';

export interface WeightCacheOptions {
  /** What WebLLM believes the model's URL to be; `URL` + file name is what it asks for. */
  baseUrl: string;
  /** Files that WebLLM reads, shards in their order. */
  fileNames: readonly string[];
  /** Which of them are shards: read ahead, and reported. */
  shardNames: readonly string[];
  /** @throws TramontaneError if the file cannot be read */
  readFile(name: string): Promise<ArrayBuffer>;
  /** Called when WebLLM has taken a shard's bytes. */
  onShard(byteLength: number): void;
}

type CacheLike = Pick<Cache, 'match' | 'keys' | 'add' | 'delete'>;

/** @returns a stand-in for the global `caches`, good for one load of one model. */
export function createWeightCaches(options: WeightCacheOptions): Pick<CacheStorage, 'open'> {
  const files = new Set(options.fileNames);
  const readAhead = new Map<string, Promise<ArrayBuffer>>();

  const take = async (name: string): Promise<ArrayBuffer> => {
    const bytes = readAhead.get(name) ?? options.readFile(name);
    readAhead.delete(name);
    const result = await bytes;
    const index = options.shardNames.indexOf(name);
    if (index >= 0) {
      const next = options.shardNames[index + 1];
      if (next !== undefined) {
        const promise = options.readFile(next);
        // Whoever takes it sees the failure; until then it must not count as unhandled.
        promise.catch(() => undefined);
        readAhead.set(next, promise);
      }
      options.onShard(result.byteLength);
    }
    return result;
  };

  const nameOf = (request: RequestInfo | URL): string | null => {
    const url = request instanceof Request ? request.url : String(request);
    if (!url.startsWith(options.baseUrl)) return null;
    const name = decodeURIComponent(url.slice(options.baseUrl.length));
    return files.has(name) ? name : null;
  };

  const cache: CacheLike = {
    async match(request) {
      const name = nameOf(request);
      if (name === null) return undefined;
      const response = {
        ok: true,
        status: 200,
        arrayBuffer: () => take(name),
        json: async () => JSON.parse(new TextDecoder().decode(await take(name))),
      };
      return response as unknown as Response;
    },
    async keys() {
      return [...files].map((name) => ({ url: options.baseUrl + encodeURIComponent(name) }) as Request);
    },
    async add(request) {
      const url = request instanceof Request ? request.url : String(request);
      throw new TramontaneError('config-invalid', `The model asks for a file that it does not list: ${url}`, {
        nextStep: 'Import the model again.',
        data: { url },
      });
    },
    async delete() {
      return false;
    },
  };
  return { open: async () => cache as Cache };
}
