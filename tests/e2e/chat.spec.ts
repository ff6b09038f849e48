/**
 * The chat page with the real engine and tiny-mistral: load, ask, reload with the network gone, ask again; and what the
 * page says when something is wrong.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, expect, type Locator, type Page, test } from 'playwright/test';
import { SITE } from '../../scripts/lib/site.ts';
import { type StaticServer, startStaticServer } from '../../scripts/lib/static-server.mjs';
import { TINY_MODELS_JSON } from '../tools/site-models.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';

const PATH = 'some/path/';

let models: string;
let tiny: string;

test.beforeAll(async () => {
  tiny = (await ensureTinyMistral('plain')).folder;
  models = await mkdtemp(join(tmpdir(), 'tramontane-models-'));
  await writeFile(join(models, 'models.json'), TINY_MODELS_JSON);
});

test.afterAll(async () => {
  await rm(models, { recursive: true, force: true });
});

/** The site with `folder` as its only model. */
function serve(folder: string): Promise<StaticServer> {
  return startStaticServer({
    mounts: {
      [`/${PATH}`]: SITE,
      [`/${PATH}models/`]: models,
      [`/${PATH}models/tiny-mistral/`]: folder,
    },
  });
}

const loadButton = (page: Page) => page.getByRole('button', { name: /^(Download and load|Load)$/ });
const answers = (page: Page) => page.locator('tramontane-chat tramontane-message .answer');

async function ask(page: Page, text: string): Promise<void> {
  const box = page.getByRole('textbox', { name: 'Message' });
  await box.fill(text);
  await box.press('Enter');
}

/** What the model has written of an answer, without what the page says beside it. */
const writing = (answer: Locator) => answer.locator('tramontane-markdown');

/** Waits until the answer has ended: the composer takes the next message. */
async function answered(page: Page, count: number): Promise<void> {
  await expect(answers(page)).toHaveCount(count);
  await expect(page.getByRole('button', { name: 'Send' })).toBeVisible();
}

async function setMaxTokens(page: Page, count: number): Promise<void> {
  await page.locator('tramontane-chat').evaluate((chat, value) => {
    (chat as unknown as { maxTokens: number }).maxTokens = value;
  }, count);
}

test('load, ask, reload offline, ask again', async ({ browser }) => {
  const server = await serve(tiny);
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(server.url + PATH);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await page.evaluate(() => {
      const tasks: number[] = [];
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) tasks.push(entry.duration);
      }).observe({ type: 'longtask' });
      Object.assign(globalThis, { longTasks: tasks });
    });
    await loadButton(page).click();
    await expect(page.locator('tramontane-chat .status.ready')).toBeVisible();
    await setMaxTokens(page, 12);
    await ask(page, 'Where does the wind come from?');
    await answered(page, 1);
    const first = await answers(page).first().textContent();
    expect(first?.trim()).toBeTruthy();
    const longTasks = await page.evaluate(() => (globalThis as unknown as { longTasks: number[] }).longTasks);
    console.log(
      `long tasks of the page with the real engine: ${longTasks.map(Math.round).join(', ') || 'none'} ms`,
    );

    await page.reload();
    await server.close();
    await page.reload();
    await expect(answers(page)).toHaveCount(1);
    expect(await answers(page).first().textContent()).toBe(first);
    // Weights that are on this device are loaded without being asked for.
    await expect(page.locator('tramontane-chat .status.ready')).toBeVisible();
    await setMaxTokens(page, 6);
    await ask(page, 'And now?');
    await answered(page, 2);
  } finally {
    await context.close();
    await server.close().catch(() => undefined);
  }
});

/** A copy of the model's folder in which one file is not what it was. */
async function damaged(name: string, change: (contents: Buffer) => Buffer | null): Promise<string> {
  const { cp } = await import('node:fs/promises');
  const folder = await mkdtemp(join(tmpdir(), 'tramontane-damaged-'));
  await cp(tiny, folder, { recursive: true });
  const contents = change(await readFile(join(folder, name)));
  if (contents === null) await rm(join(folder, name));
  else await writeFile(join(folder, name), contents);
  return folder;
}

const editJson = (edit: (value: Record<string, unknown>) => void) => (contents: Buffer) => {
  const value = JSON.parse(contents.toString()) as Record<string, unknown>;
  edit(value);
  return Buffer.from(JSON.stringify(value));
};

const DAMAGE: { what: string; file: string; change: (contents: Buffer) => Buffer | null; says: RegExp }[] = [
  {
    what: 'a missing shard',
    file: 'params_shard_0.bin',
    change: () => null,
    says: /params_shard_0\.bin is not on the server/,
  },
  {
    what: 'a truncated shard',
    file: 'params_shard_0.bin',
    change: (b) => b.subarray(1),
    says: /params_shard_0\.bin ended after/,
  },
  {
    what: 'an altered shard',
    file: 'params_shard_0.bin',
    change: (b) => {
      b[100]! ^= 1;
      return b;
    },
    says: /params_shard_0\.bin does not have the SHA-256/,
  },
  {
    what: 'a config that is not JSON',
    file: 'mlc-chat-config.json',
    change: () => Buffer.from('<html>'),
    says: /mlc-chat-config\.json is not JSON/,
  },
  {
    what: 'a config without an architecture',
    file: 'mlc-chat-config.json',
    change: editJson((value) => delete value.model_config),
    says: /model_config/,
  },
  {
    what: 'an architecture that nobody knows',
    file: 'mlc-chat-config.json',
    change: editJson((value) => {
      value.model_type = 'mamba';
    }),
    says: /model_type is "mamba"; supported: llama, mistral/,
  },
  {
    what: 'a tokenizer that is not JSON',
    file: 'tokenizer.json',
    change: () => Buffer.from('{'),
    says: /tokenizer\.json/,
  },
  {
    what: 'a tokenizer without a vocabulary',
    file: 'tokenizer.json',
    change: editJson((value) => delete (value.model as Record<string, unknown>).vocab),
    says: /tokenizer\.json/,
  },
  {
    what: 'a weight format that nobody knows',
    file: 'tensor-cache.json',
    change: editJson((value) => {
      const { matrices } = (
        value.metadata as { tramontane: { matrices: Record<string, { format: string }> } }
      ).tramontane;
      for (const matrix of Object.values(matrices)) matrix.format = 'q3_z';
    }),
    says: /format/,
  },
];

for (const { what, file, change, says } of DAMAGE) {
  test(`the page explains ${what}`, async ({ browser }) => {
    const folder = await damaged(file, change);
    const server = await serve(folder);
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(server.url + PATH);
      await loadButton(page).click();
      const alert = page.getByRole('alert');
      await expect(alert).toBeVisible();
      await expect(alert).toContainText(says);
      await expect(alert.locator('.next-step')).toHaveText(/\w+ .*\.$/);
      // A way on: trying again asks the server again.
      const again = page.waitForRequest((request) => request.url().includes('/models/tiny-mistral/'));
      await alert.getByRole('button', { name: 'Try again' }).click();
      await again;
    } finally {
      await context.close();
      await server.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
}

/** Pretends another machine: runs before the page, and in the worker, whose blob the page makes. */
async function withAdapter(context: BrowserContext, patch: string): Promise<void> {
  await context.addInitScript((code) => {
    const create = URL.createObjectURL.bind(URL);
    URL.createObjectURL = (object: Blob | MediaSource) =>
      object instanceof Blob && object.type === 'text/javascript'
        ? create(new Blob([code, object], { type: object.type }))
        : create(object);
  }, `${patch};\n`);
  await context.addInitScript(patch);
}

test('no WebGPU: the page says so and what to do', async ({ browser }) => {
  const server = await serve(tiny);
  const context = await browser.newContext();
  await withAdapter(
    context,
    "Object.defineProperty(navigator, 'gpu', { value: undefined, configurable: true })",
  );
  try {
    const page = await context.newPage();
    await page.goto(server.url + PATH);
    await expect(page.getByText(/WebGPU/).first()).toBeVisible();
    await expect(page.getByText(/Chrome|Edge/).first()).toBeVisible();
  } finally {
    await context.close();
    await server.close();
  }
});

test('a GPU with limits too small is refused before anything is downloaded', async ({ browser }) => {
  const server = await serve(tiny);
  const context = await browser.newContext();
  await withAdapter(
    context,
    `const limits = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, 'limits').get;
     Object.defineProperty(GPUAdapter.prototype, 'limits', { get() {
       return new Proxy(limits.call(this), { get: (target, name) => name === 'maxStorageBuffersPerShaderStage' ? 8 : Reflect.get(target, name, target) });
     } })`,
  );
  const shards: string[] = [];
  context.on('request', (request) => void (request.url().includes('shard') && shards.push(request.url())));
  try {
    const page = await context.newPage();
    await page.goto(server.url + PATH);
    await expect(page.getByText(/8 storage buffers per shader stage; 10 are needed/)).toBeVisible();
    await expect(loadButton(page)).toBeDisabled();
    expect(shards).toEqual([]);
  } finally {
    await context.close();
    await server.close();
  }
});

/** A GPU that a message of {@link loseDevice} takes away: the device is destroyed. */
const LOSABLE_GPU = `if (typeof GPUAdapter !== 'undefined' && typeof document === 'undefined') {
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await request.call(this, descriptor);
    const channel = new BroadcastChannel('lose-device');
    channel.addEventListener('message', ({ data: left }) => {
      if (left === 0) device.destroy();
      device.queue.submit = function (commands) {
        GPUQueue.prototype.submit.call(this, commands);
        if (--left === 0) device.destroy();
      };
      channel.postMessage('heard');
    });
    return device;
  };
}`;

/** Destroys the engine's device after so many submissions more. Resolves when that is arranged, or has happened. */
const loseDevice = (page: Page, submissions: number) =>
  page.evaluate(
    (left) =>
      new Promise((resolve) => {
        const channel = new BroadcastChannel('lose-device');
        channel.addEventListener('message', resolve, { once: true });
        channel.postMessage(left);
      }).then(() => undefined),
    submissions,
  );

for (const when of ['in the middle of an answer', 'between two answers'] as const) {
  test(`the GPU is lost ${when}: the page says so, the conversation stays, loading again helps`, async ({
    browser,
  }) => {
    const server = await serve(tiny);
    const context = await browser.newContext();
    await withAdapter(context, LOSABLE_GPU);
    try {
      const page = await context.newPage();
      await page.goto(server.url + PATH);
      await loadButton(page).click();
      await expect(page.locator('tramontane-chat .status.ready')).toBeVisible();
      if (when === 'between two answers') {
        await setMaxTokens(page, 4);
        await ask(page, 'A first question.');
        await answered(page, 1);
        await loseDevice(page, 0);
        await ask(page, 'Go on for a long time.');
      } else {
        // The greedy answer to this has some 200 tokens, of a submission or more each.
        await page.locator('tramontane-chat').evaluate((chat) => {
          (chat as unknown as { temperature: number }).temperature = 0;
        });
        await loseDevice(page, 40);
        await ask(page, 'Go on for a long time.');
      }
      await expect(page.getByText(/GPU was lost/).first()).toBeVisible();
      await expect(page.getByText('Go on for a long time.')).toBeVisible();
      const written = writing(answers(page).last());
      if (when === 'in the middle of an answer') await expect(written).not.toHaveText('');
      else await expect(written).toHaveText('');
      await page.getByRole('button', { name: 'Reload model' }).click();
      await expect(page.locator('tramontane-chat .status.ready')).toBeVisible();
    } finally {
      await context.close();
      await server.close();
    }
  });
}

test('the worker dies: the page says so, and the conversation is kept', async ({ browser }) => {
  const server = await serve(tiny);
  const context = await browser.newContext();
  // A worker whose code throws outside of any call, when this test says so.
  await withAdapter(
    context,
    `if (typeof document === 'undefined') new BroadcastChannel('crash').addEventListener('message', () => {
       setTimeout(() => { throw new Error('gone'); });
     });`,
  );
  try {
    const page = await context.newPage();
    await page.goto(server.url + PATH);
    await loadButton(page).click();
    await expect(page.locator('tramontane-chat .status.ready')).toBeVisible();
    await setMaxTokens(page, 4);
    await ask(page, 'Before the crash.');
    await answered(page, 1);
    await page.evaluate(() => new BroadcastChannel('crash').postMessage('now'));
    await page.waitForTimeout(500);
    await ask(page, 'After the crash.');
    await expect(page.getByText(/engine stopped/).first()).toBeVisible();
    await expect(page.getByText('Before the crash.')).toBeVisible();
  } finally {
    await context.close();
    await server.close();
  }
});

test('a message longer than the context: the page says so, and the next question is answered', async ({
  browser,
}) => {
  const server = await serve(tiny);
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(server.url + PATH);
    await loadButton(page).click();
    await expect(page.locator('tramontane-chat .status.ready')).toBeVisible();
    await setMaxTokens(page, 4);
    await ask(page, 'wind over the sea '.repeat(2000));
    await expect(
      page.getByText(/tokens long; this model is loaded with room for 2048/).first(),
    ).toBeVisible();
    await page.getByRole('button', { name: 'New chat' }).click();
    await ask(page, 'A short one.');
    await expect(writing(answers(page).last())).not.toHaveText('');
  } finally {
    await context.close();
    await server.close();
  }
});

test('a schema that the engine cannot compile: the JSON page says so, and the next one is answered', async ({
  browser,
}) => {
  const server = await serve(tiny);
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${server.url}${PATH}json.html`);
    await loadButton(page).click();
    const run = page.getByRole('button', { name: 'Run' });
    await page.getByRole('spinbutton', { name: 'At most tokens' }).fill('60');
    const schema = page.getByRole('textbox', { name: 'Schema' });
    // A regular expression to a browser, but not a regular language.
    await schema.fill('{"type": "string", "pattern": "(a)\\\\1"}');
    await expect(run).toBeEnabled();
    await run.click();
    const alert = page.getByRole('alert');
    await expect(alert).toContainText('schema');
    await schema.fill('{"enum": ["north", "south"]}');
    await run.click();
    await expect(page.getByText('Valid.', { exact: true })).toBeVisible();
    await expect(alert).toHaveCount(0);
  } finally {
    await context.close();
    await server.close();
  }
});
