import { expect, test } from 'vitest';
import { createWeightCaches } from './weight-cache.ts';

const baseUrl = 'https://weights.invalid/m/resolve/main/';

function setUp() {
  const reads: string[] = [];
  let held = 0;
  let mostHeld = 0;
  const taken: number[] = [];
  const shardNames = ['a.bin', 'b.bin', 'c.bin'];
  const caches = createWeightCaches({
    baseUrl,
    fileNames: ['config.json', ...shardNames],
    shardNames,
    async readFile(name) {
      reads.push(name);
      held++;
      mostHeld = Math.max(mostHeld, held);
      return new TextEncoder().encode(JSON.stringify(name)).buffer;
    },
    onShard(byteLength) {
      held--;
      taken.push(byteLength);
    },
  });
  return { caches, reads, taken, mostHeld: () => mostHeld };
}

test("WebLLM's pattern, two matches per shard, reads each shard once and holds at most two", async () => {
  const { caches, reads, taken, mostHeld } = setUp();
  const cache = await caches.open('webllm/model');
  const listed = (await cache.keys()).map((request) => request.url);
  for (const name of ['a.bin', 'b.bin', 'c.bin']) {
    const url = baseUrl + name;
    expect(listed).toContain(url);
    expect(await cache.match(new Request(url))).toBeDefined();
    const response = await cache.match(new Request(url));
    expect(new TextDecoder().decode(await response?.arrayBuffer())).toBe(`"${name}"`);
  }
  expect(reads).toEqual(['a.bin', 'b.bin', 'c.bin']);
  expect(taken).toEqual([7, 7, 7]);
  expect(mostHeld()).toBeLessThanOrEqual(2);
});

test('small files come as JSON; what the model does not list is refused, never fetched', async () => {
  const { caches } = setUp();
  const cache = await caches.open('webllm/config');
  expect(await (await cache.match(`${baseUrl}config.json`))?.json()).toBe('config.json');
  expect(await cache.match(`${baseUrl}other.bin`)).toBeUndefined();
  expect(await cache.match('https://example.org/a.bin')).toBeUndefined();
  await expect(cache.add('https://example.org/a.bin')).rejects.toMatchObject({ code: 'config-invalid' });
});
