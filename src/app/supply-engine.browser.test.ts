import { afterEach, expect, test, vi } from 'vitest';
import '../element/define.ts';
import { TramontaneError } from '../base/errors.ts';
import { TramontaneErrorOccurredEvent } from '../element/events.ts';
import type { Engine, StoredModelInfo } from '../engine/api.ts';
import { createFakeEngine, type FakeEngineOptions } from '../engine/fake-engine.ts';
import { supplyEngine } from './supply-engine.ts';

afterEach(() => {
  vi.restoreAllMocks();
  document.body.replaceChildren();
});

async function mount() {
  const chat = document.createElement('tramontane-chat');
  document.body.append(chat);
  const create = vi.fn(async () => createFakeEngine());
  vi.spyOn(globalThis, 'fetch').mockResolvedValue(new Response('{"version":2,"models":[]}'));
  await supplyEngine(chat, create);
  const crash = () =>
    chat.dispatchEvent(new TramontaneErrorOccurredEvent(new TramontaneError('worker-crashed', 'It died.')));
  return { chat, create, crash };
}

test('a worker that died after a while is replaced', async () => {
  const { chat, create, crash } = await mount();
  const first = chat.engine;
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 60_000);
  crash();
  await expect.poll(() => chat.engine !== first).toBe(true);
  expect(create).toHaveBeenCalledTimes(2);
});

test('one that dies at once is not: that would never end', async () => {
  const { create, crash } = await mount();
  crash();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(create).toHaveBeenCalledTimes(1);
});

test('a list of models that cannot be read is shown as what it is', async () => {
  const chat = document.createElement('tramontane-chat');
  document.body.append(chat);
  vi.spyOn(globalThis, 'fetch').mockResolvedValue(new Response('gone', { status: 404 }));
  await supplyEngine(chat, async () => createFakeEngine());
  expect(chat.modelsError).toMatchObject({ code: 'download-failed' });
  await chat.updateComplete;
  expect(chat.shadowRoot?.querySelector('[role=alert]')?.textContent).toMatch(/could not be read: HTTP 404/);
});

const small: StoredModelInfo = {
  id: 'smollm2-135m-instruct',
  name: 'SmolLM2',
  quantization: 'Q4_1',
  parameterCount: 135_000_000,
  byteLength: 97_000_000,
  contextLength: 8192,
  maxContextLength: 8192,
  kvBytesPerToken: 23_040,
  layerCount: 30,
  licence: null,
  library: null,
  source: { name: 'smollm2', url: 'https://example.org/models/smollm2/' },
  storedAt: 0,
};
const large: StoredModelInfo = {
  ...small,
  id: 'mistral-small-q4_k_m',
  name: 'Mistral Small',
  parameterCount: 23_572_403_200,
  byteLength: 14_333_909_728,
  source: {
    name: 'Mistral-Small-3.1-24B-Instruct-2503-Q4_K_M.gguf',
    url: 'https://huggingface.co/unsloth/Mistral-Small-3.1-24B-Instruct-2503-GGUF/resolve/main/Mistral-Small-3.1-24B-Instruct-2503-Q4_K_M.gguf',
  },
};

/** The chat with the site's own catalogue and these models stored. */
async function mountStored(options: Partial<FakeEngineOptions>, stored: StoredModelInfo[]) {
  const list = await (await fetch(new URL('../../public/models/models.json', import.meta.url))).text();
  vi.spyOn(globalThis, 'fetch').mockResolvedValue(new Response(list));
  const chat = document.createElement('tramontane-chat');
  document.body.append(chat);
  await supplyEngine(chat, async (): Promise<Engine> => {
    const engine = createFakeEngine(options);
    engine.listStoredModels = async () => stored;
    return engine;
  });
  return { ids: chat.models.map(({ id }) => id), offers: chat.offers.map(({ name }) => name) };
}

test('an imported Mistral Small is offered first where it suits the device, and not to be imported again', async () => {
  const { ids, offers } = await mountStored({}, [small, large]);
  expect(ids).toEqual([large.id, small.id]);
  expect(offers[0]).toBe('Mistral Small 3.2 24B');
  expect(offers).not.toContain('Mistral Small 3.1 24B');
});

test('and last where it does not; the model of the site comes before it', async () => {
  const { ids } = await mountStored({ adapter: 'software' }, [small, large]);
  expect(ids).toEqual([small.id, large.id]);
});

test('where nothing is stored, the model of the site is offered, and the rest to be imported', async () => {
  const { ids, offers } = await mountStored({}, []);
  expect(ids).toEqual([small.id]);
  expect(offers).toHaveLength(4);
});
