/**
 * The built site with the fake engine, under a sub-path: what a person does with it, that it asks no other host for
 * anything, that it opens without a network, and that it stays smooth. The real engine: engine.spec.ts.
 */
import { appendFile, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { type Browser, type BrowserContext, expect, type Page, type TestInfo, test } from 'playwright/test';
import { SITE } from '../../scripts/lib/site.ts';
import { type StaticServer, startStaticServer } from '../../scripts/lib/static-server.mjs';

const PATH = 'some/path/';

let server: StaticServer;
let context: BrowserContext;
let page: Page;
const origins = new Set<string>();
const complaints: string[] = [];

/** Collects what must not happen: other hosts, errors in the console, anything the page's policy refused. */
function watch(watched: BrowserContext): void {
  watched.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith('http')) origins.add(url.origin);
  });
  watched.on('console', (message) => {
    if (message.type() === 'error' || /Content Security Policy/i.test(message.text()))
      complaints.push(message.text());
  });
  watched.on('weberror', (error) => complaints.push(error.error().message));
}

test.beforeAll(async () => {
  server = await startStaticServer({ mounts: { [`/${PATH}`]: SITE } });
});

test.afterAll(async () => {
  await server?.close();
});

test.beforeEach(async ({ browser }) => {
  origins.clear();
  complaints.length = 0;
  context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] });
  watch(context);
  page = await context.newPage();
});

test.afterEach(async () => {
  await context.close();
});

async function open(name: string, parameters = ''): Promise<void> {
  await page.goto(`${server.url}${PATH}${name}?engine=fake&${parameters}`);
}

async function load(): Promise<void> {
  await page.getByRole('button', { name: /^(Download and load|Load)$/ }).click();
  await expect(page.getByRole('button', { name: 'Settings' })).toBeVisible();
  await expect(page.locator('tramontane-chat .status.ready')).toBeVisible();
}

async function ask(text: string): Promise<void> {
  const box = page.getByRole('textbox', { name: 'Message' });
  await box.fill(text);
  await box.press('Enter');
}

const answers = () => page.locator('tramontane-chat tramontane-message .answer');

async function expectCleanRun(): Promise<void> {
  expect(complaints).toEqual([]);
  expect([...origins]).toEqual([new URL(server.url).origin]);
}

test('load, ask, stop, regenerate, copy, new chat', async () => {
  await open('index.html', 'rate=120');
  await expect(page.getByRole('heading', { name: 'A private chat, on your own device' })).toBeVisible();
  await load();
  await ask('Write a function that groups a list, and a table.');
  await expect(answers().getByText(/tokens\/s/)).toBeVisible();
  await expect(answers().getByRole('table')).toBeVisible();

  await answers().getByRole('button', { name: 'Copy code' }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(
    /^export function groupBy[\s\S]*\}$/,
  );
  await answers().getByRole('button', { name: 'Copy', exact: true }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('| Approach | Order kept |');

  // So long that it is stopped in its middle on any machine.
  await ask('long 7000');
  await expect(answers().last()).toContainText('Part 1');
  await expect(page.getByRole('button', { name: 'Stop' })).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(answers().last().getByText('Stopped.')).toBeVisible();
  await page.getByRole('button', { name: 'Regenerate' }).click();
  await page.getByRole('button', { name: 'Stop' }).click();
  await expect(answers()).toHaveCount(2);

  await page.getByRole('button', { name: 'New chat' }).click();
  await expect(answers()).toHaveCount(0);
  await expect(page.getByText('What would you like to know?')).toBeVisible();
  await expectCleanRun();
});

test('text arrives as typed', async () => {
  await open('index.html', 'rate=2000');
  await load();
  const text = `echo $& $' {function_string} [INST] </s> <img src=x onerror=alert(1)> **not bold**`;
  await ask(text);
  await expect(page.locator('tramontane-message .question')).toContainText(text);
  await expectCleanRun();
});

/** Of the messages of the conversation that is stored, those that are not empty: how many characters they have. */
function savedLengths(): Promise<number[]> {
  return page.evaluate(async () => {
    const settle = <T>(request: IDBRequest<T>) =>
      new Promise<T>((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const database = await settle(indexedDB.open('tramontane-conversations'));
    const record = await settle(database.transaction('records').objectStore('records').get('default'));
    database.close();
    const messages: { content: string }[] = record?.messages ?? [];
    return messages.map(({ content }) => content.length).filter((length) => length > 0);
  });
}

test('the conversation survives a reload, also one in the middle of an answer', async () => {
  await open('index.html', 'rate=60');
  await load();
  await ask('echo kept');
  await expect(answers().getByText(/first after/)).toBeVisible();
  await ask('long 7000');
  await expect(answers().last()).toContainText('Part 1');
  await expect.poll(savedLengths).toEqual([expect.any(Number), expect.any(Number), 9, expect.any(Number)]);
  await page.reload();
  await expect(answers()).toHaveCount(2);
  await expect(answers().first()).toContainText('kept');
  await expect(answers().last()).toContainText('Interrupted');
  await page.getByRole('button', { name: /^(Download and load|Load)$/ }).click();
  await page.getByRole('button', { name: 'Regenerate' }).click();
  await page.getByRole('button', { name: 'Stop' }).click();
  await expect(page.getByText('open in another tab')).toBeHidden();
  await expectCleanRun();
});

test('with the server gone, the page opens again, loads its model and answers', async ({ browser }) => {
  const own = await startStaticServer({ mounts: { [`/${PATH}`]: SITE } });
  const offline = await browser.newContext();
  watch(offline);
  try {
    const visitor = await offline.newPage();
    await visitor.goto(`${own.url}${PATH}?engine=fake&rate=500`);
    await expect(visitor.getByText('Private, works offline')).toBeVisible();
    await own.close();
    await visitor.reload();
    await visitor.getByRole('button', { name: 'Download and load' }).click();
    await expect(visitor.locator('tramontane-chat .status.ready')).toBeVisible();
    await visitor.getByRole('textbox', { name: 'Message' }).fill('echo without a network');
    await visitor.keyboard.press('Enter');
    await expect(visitor.locator('tramontane-message .answer')).toContainText('without a network');
    await visitor.getByRole('link', { name: 'JSON' }).click();
    await expect(visitor.getByRole('heading', { name: 'JSON that fits' })).toBeVisible();
    expect(complaints).toEqual([]);
    // The engine itself is there too: the real worker starts, and says what the device can do.
    await visitor.goto(`${own.url}${PATH}index.html`);
    await expect(visitor.getByRole('button', { name: 'Download and load' })).toBeEnabled();
  } finally {
    await offline.close();
    await own.close();
  }
});

test('the example of docs/embedding.md works as it stands', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tramontane-embedding-'));
  const documentation = await readFile(new URL('../../docs/embedding.md', import.meta.url), 'utf8');
  const example = /```html\n([\s\S]*?)```/.exec(documentation)?.[1] ?? '';
  await writeFile(join(folder, 'index.html'), example);
  await writeFile(join(folder, 'favicon.ico'), '');
  const own = await startStaticServer({
    mounts: { '/': folder, '/blog/': folder, '/blog/tramontane/': SITE },
  });
  try {
    await page.goto(`${own.url}blog/`);
    await expect(page.getByRole('button', { name: 'Download and load' })).toBeEnabled();
    expect(complaints).toEqual([]);
    expect([...origins]).toEqual([new URL(own.url).origin]);
  } finally {
    await own.close();
    await rm(folder, { recursive: true });
  }
});

test('no model file is kept by the service worker', async () => {
  await open('index.html');
  await expect(page.getByText('Private, works offline')).toBeVisible();
  const cached = await page.evaluate(async () => {
    const urls: string[] = [];
    for (const name of await caches.keys()) {
      for (const request of await (await caches.open(name)).keys()) urls.push(new URL(request.url).pathname);
    }
    return urls;
  });
  expect(cached.filter((path) => path.includes('/models/'))).toEqual([`/${PATH}models/models.json`]);
  expect(cached.some((path) => /worker-.*\.js$/.test(path))).toBe(true);
});

test('an update waits until the person agrees', async ({ browser }) => {
  const folder = await mkdtemp(join(tmpdir(), 'tramontane-update-'));
  await cp(SITE, folder, {
    recursive: true,
    filter: (path) => !/^models\/(?!models\.json$)/.test(relative(SITE, path)),
  });
  const own = await startStaticServer({ mounts: { [`/${PATH}`]: folder } });
  const updating = await browser.newContext();
  try {
    const visitor = await updating.newPage();
    await visitor.goto(`${own.url}${PATH}?engine=fake`);
    await visitor.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await visitor.evaluate(() => Object.assign(globalThis, { isSamePage: true }));
    await appendFile(join(folder, 'service-worker.js'), '\n// a newer version\n');
    await visitor.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.update());
    await expect(visitor.getByText('A new version of this page is ready.')).toBeVisible();
    await visitor.waitForTimeout(500);
    expect(await visitor.evaluate(() => 'isSamePage' in globalThis)).toBe(true);
    await visitor.getByRole('button', { name: 'Reload now' }).click();
    await visitor.waitForFunction(() => !('isSamePage' in globalThis));
    await expect(visitor.getByText('A new version of this page is ready.')).toBeHidden();
  } finally {
    await updating.close();
    await own.close();
    await rm(folder, { recursive: true });
  }
});

/** What a worker started from a blob gets when it asks another host. */
function fetchInBlobWorker(url: string): Promise<string> {
  const source = `let refused = '';
    addEventListener('securitypolicyviolation', (event) => { refused = ' refused by ' + event.effectiveDirective; });
    const violation = new Promise((done) => addEventListener('securitypolicyviolation', done));
    const aWhile = () => new Promise((done) => setTimeout(done, 60_000));
    fetch(${JSON.stringify(url)}, { mode: 'no-cors' })
      .then((response) => response.type, (error) => Promise.race([violation, aWhile()]).then(() => error.name))
      .then((outcome) => postMessage(outcome + refused));`;
  return new Promise((resolve, reject) => {
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), {
      type: 'module',
    });
    worker.onmessage = ({ data }) => resolve(String(data));
    worker.onerror = (event) => reject(new Error(event.message));
  });
}

test('the policy holds inside workers: another host cannot be reached', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tramontane-elsewhere-'));
  await writeFile(join(folder, 'index.html'), '<title>elsewhere</title>');
  const elsewhere = await startStaticServer({ mounts: { '/': folder } });
  const third = await startStaticServer({ mounts: { '/': folder } });
  try {
    // Control: from a page without a policy the same request goes through.
    await page.goto(third.url);
    expect(await page.evaluate(fetchInBlobWorker, elsewhere.url)).toBe('opaque');
    for (const name of ['index.html', 'json.html', 'bench.html', 'storage.html', 'ask.html']) {
      await open(name);
      expect(await page.evaluate(fetchInBlobWorker, elsewhere.url), name).toBe(
        'TypeError refused by connect-src',
      );
    }
  } finally {
    await elsewhere.close();
    await third.close();
    await rm(folder, { recursive: true });
  }
});

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  args: { name?: string };
  /** Microseconds on the clock, and of processor time. */
  dur?: number;
  tdur?: number;
}

interface WatchedRun {
  tasks: number;
  /** Of one task: processor time, which other programs do not add to as they do to the time on the clock. */
  longestMs: number;
  /** How many times as long as that all tasks took by the clock: how far other programs kept them waiting. */
  waiting: number;
  /** As the page tells it. */
  tokensPerSecond: number;
}

/** Streams 2,000 tokens at 200 a second, and watches the main thread. */
async function streamAndWatch(browser: Browser): Promise<WatchedRun> {
  await browser.startTracing(page, { categories: ['disabled-by-default-devtools.timeline', 'toplevel'] });
  await ask('long 2000');
  await expect(answers().getByText(/2,000 tokens/)).toBeVisible();
  const rate = await answers()
    .getByText(/tokens\/s/)
    .textContent();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as {
    traceEvents: TraceEvent[];
  };
  const mainThreads = traceEvents
    .filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain')
    .map(({ pid, tid }) => `${pid} ${tid}`);
  const tasks = traceEvents.filter(
    ({ name, ph, pid, tid }) => ph === 'X' && name === 'RunTask' && mainThreads.includes(`${pid} ${tid}`),
  );
  const sum = (times: number[]) => times.reduce((total, time) => total + time, 0);
  return {
    tasks: tasks.length,
    longestMs: Math.max(...tasks.map(({ tdur = 0 }) => tdur / 1000)),
    waiting: sum(tasks.map(({ dur = 0 }) => dur)) / sum(tasks.map(({ tdur = 0 }) => tdur)),
    tokensPerSecond: Number.parseFloat(rate!),
  };
}

/** What {@link timeScript} gives where the limit of 50 ms is meant as it stands. */
const USUAL_SCRIPT_MS = 2;

/** How long a page takes for a script that is always the same, at best: how fast this machine is, busy or not. */
function timeScript(): Promise<number> {
  return page.evaluate(() => {
    const times = Array.from({ length: 40 }, () => {
      const start = performance.now();
      let text = '';
      for (let i = 0; i < 100_000; i++) text += String.fromCharCode(97 + ((i * 7919) % 26));
      const lengths = text.split('a').map((part) => part.length + text.indexOf(part));
      document.body.dataset.sum = String(lengths.reduce((sum, length) => sum + length, 0));
      return performance.now() - start;
    });
    delete document.body.dataset.sum;
    return Math.min(...times);
  });
}

test('no task of the page takes 50 ms while 200 tokens come each second', async ({ browser }, info) => {
  await open('index.html', 'rate=200');
  await load();
  const slowness = Math.max(1, (await timeScript()) / USUAL_SCRIPT_MS);
  // What the page does, it does in every run; what else happens on the machine, it does not.
  for (let run = 1; ; run++) {
    const { tasks, longestMs, waiting, tokensPerSecond } = await streamAndWatch(browser);
    const least = 100 / (slowness * waiting);
    const description = `longest task: ${longestMs.toFixed(1)} ms of processor time; ${tokensPerSecond} tokens/s, at least ${least.toFixed(1)} due; the machine takes ${slowness.toFixed(2)} times as long as others, and ${waiting.toFixed(2)} times that for what else it does`;
    info.annotations.push({ type: 'measured', description });
    console.log(`  ${description}`);
    expect(tasks).toBeGreaterThan(500);
    expect(longestMs).toBeGreaterThan(0);
    expect(tokensPerSecond).toBeGreaterThan(0);
    if (longestMs < 50 * slowness && tokensPerSecond > least) break;
    expect(run, 'runs with a long task, or with fewer tokens').toBeLessThan(3);
    await page.getByRole('button', { name: 'New chat' }).click();
  }
});

test.describe('JSON', () => {
  const run = () => page.getByRole('button', { name: 'Run' });

  test.beforeEach(async () => {
    await open('json.html', 'rate=2000');
    await page.getByRole('button', { name: 'Download and load' }).click();
    await expect(run()).toBeEnabled();
  });

  test('an answer that fits is valid', async () => {
    for (const example of ['A recipe', 'Mood of a text', 'Names and places']) {
      await page.getByRole('combobox', { name: 'Examples' }).selectOption(example);
      await run().click();
      await expect(page.getByText('Valid.', { exact: true })).toBeVisible();
    }
    await expectCleanRun();
  });

  test('one that does not fit is not, and it says where', async () => {
    await page.goto(`${server.url}${PATH}json.html?engine=fake&rate=2000&json=invalid`);
    await page.getByRole('button', { name: /^(Download and load|Load)$/ }).click();
    await run().click();
    await expect(page.getByText('Invalid.', { exact: true })).toBeVisible();
    await expect(page.getByText('/unexpected')).toBeVisible();
  });

  test('one that reaches the limit is cut off', async () => {
    await page.getByRole('spinbutton', { name: 'At most tokens' }).fill('3');
    await run().click();
    await expect(page.getByText('Cut off.', { exact: true })).toBeVisible();
  });

  test('a schema that is wrong is told before anything runs', async () => {
    const schema = page.getByRole('textbox', { name: 'Schema' });
    await schema.fill('{"type": "strnig"}');
    await expect(page.getByText(/There is no type "strnig"/)).toBeVisible();
    await expect(run()).toBeDisabled();
    await schema.fill('{"type": ');
    await expect(page.getByText(/This is not JSON/)).toBeVisible();
    await schema.fill('{"type": "string"}');
    await expect(run()).toBeEnabled();
  });
});

test.describe('looks', () => {
  const sizes = { wide: { width: 1280, height: 820 }, narrow: { width: 360, height: 740 } };

  /** Nothing sticks out at the side, and a picture for whoever wants to look. */
  async function look(name: string, info: TestInfo): Promise<void> {
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow, `${name} is wider than the window`).toBeLessThanOrEqual(0);
    await info.attach(name, { body: await page.screenshot(), contentType: 'image/png' });
  }

  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ['light', 'dark'] as const) {
      test(`${size}, ${colorScheme}`, async ({ browserName: _ }, info) => {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme });
        await open('index.html', 'rate=2000');
        await expect(page.getByText('Fits this device.')).toBeVisible();
        await look('models', info);
        await load();
        await look('empty', info);
        await ask('Write a function that groups a list, and a table.');
        await expect(answers().getByText(/tokens\/s/)).toBeVisible();
        await look('answer', info);
        await page.getByRole('button', { name: 'Settings' }).click();
        await look('settings', info);
        await open('json.html');
        await look('json', info);
        for (const name of ['bench', 'import', 'storage']) {
          await open(`${name}.html`);
          await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
          await look(name, info);
        }
        await open('index.html', 'adapter=none');
        await expect(page.getByRole('heading', { name: 'This browser cannot reach the GPU' })).toBeVisible();
        await look('no-webgpu', info);
      });
    }
  }

  test('the theme switch goes through system, light and dark, and is remembered', async () => {
    await page.emulateMedia({ colorScheme: 'light' });
    await open('index.html');
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await ground();
    await page.getByRole('button', { name: 'Theme: as the system' }).click();
    await page.getByRole('button', { name: 'Theme: light' }).click();
    await expect(page.getByRole('button', { name: 'Theme: dark' })).toBeVisible();
    expect(await ground()).not.toBe(light);
    await page.reload();
    await expect(page.getByRole('button', { name: 'Theme: dark' })).toBeVisible();
    expect(await ground()).not.toBe(light);
  });
});
