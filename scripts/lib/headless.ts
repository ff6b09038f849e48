/** The built site in a headless Chrome or Chromium, driven by a command: what a visitor's browser would run. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright';
import { fromWireError, type WireError } from '../../src/base/errors.ts';
import type { AdapterReport } from '../../src/engine/api.ts';
import { openOnGpu, requireChromium } from './chromium.ts';
import { tryProcessLock } from './lock.ts';
import type { ResolvedModel } from './model-argument.ts';
import { SITE } from './site.ts';
import { type StaticServer, startStaticServer } from './static-server.mjs';
import { ROOT } from './up-to-date.ts';

/** What a page's function gets besides its own input, and what it finds in the page. */
export interface PageSource {
  id: string;
  url: string;
}

export interface CommandPage<Event> {
  tramontane: typeof import('../../src/app/ask-page.ts').commandApi;
  tramontaneEmit(event: Event): Promise<void>;
}

export interface HeadlessSite {
  page: Page;
  /** Null where the browser offers no WebGPU. */
  adapter: AdapterReport | null;
  /** Where the model's files are served. */
  modelUrl: string;
  close(): Promise<void>;
}

/**
 * Runs a function in the site's page, which must have been built, with `model` to load.
 * @param action runs in the page: everything it uses comes through its input or the page's own globals
 * @throws TramontaneError `webgpu-unavailable` where there is no browser to run it in; what the function returns as
 *   error; `signal.reason` when aborted
 */
export async function runInSite<Input extends object, Output, Event>(
  model: ResolvedModel,
  action: (input: Input & { source: PageSource }) => Promise<Output | { error: WireError }>,
  input: Input,
  { signal, onEvent }: { signal: AbortSignal; onEvent(event: Event): void },
): Promise<Output> {
  const site = await openHeadlessSite(model);
  const close = () => void site.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    signal.throwIfAborted();
    await site.page.exposeFunction('tramontaneEmit', onEvent);
    const argument = { ...input, source: { id: model.id, url: site.modelUrl } };
    const outcome = await site.page.evaluate(action as (input: unknown) => Promise<unknown>, argument);
    const { error } = outcome as { error?: WireError };
    if (error !== undefined) throw fromWireError(error);
    return outcome as Output;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', close);
    await site.close();
  }
}

/** A disk has room for one copy of a large model, hardly for one of each that was ever asked. */
async function forgetOtherModels(id: string): Promise<void> {
  const { engine } = (globalThis as unknown as CommandPage<never>).tramontane;
  for (const stored of await engine.listStoredModels()) {
    if (stored.id !== id) await engine.deleteModel(stored.id);
  }
}

async function readAdapter(): Promise<AdapterReport | null> {
  return (globalThis as unknown as CommandPage<never>).tramontane.engine.getAdapter();
}

/** @throws TramontaneError `webgpu-unavailable` where there is no browser */
export async function openHeadlessSite(model: ResolvedModel): Promise<HeadlessSite> {
  const executablePath = requireChromium();
  return openOnGpu((args) => openSite(model, { executablePath, args }));
}

async function openSite(model: ResolvedModel, start: BrowserStart): Promise<HeadlessSite> {
  const mounts = { '/': SITE, '/command-model/': model.folder };
  const { context, server, release } = await openBrowser(start, mounts);
  const close = async () => {
    await context.browser()?.close();
    await context.close();
    await server.close();
    await release();
  };
  try {
    const page = await context.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') process.stderr.write(`[page] ${message.text()}\n`);
    });
    // esbuild, which runs these scripts, wraps named functions in a helper that the page does not have.
    await page.addInitScript('globalThis.__name = (value) => value;');
    await page.goto(new URL('ask.html', server.url).href);
    await page.waitForFunction(() => 'tramontane' in globalThis);
    await page.evaluate(forgetOtherModels, model.id);
    const adapter = await page.evaluate(readAdapter);
    return { page, adapter, modelUrl: new URL('command-model/', server.url).href, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Weights that were stored by one command are there for the next: the profile is kept, and the origin stays the same. */
const PROFILE = join(ROOT, '.cache/command-browser');
const PROFILE_PORT = 41_773;

interface BrowserStart {
  executablePath: string;
  args: string[];
}

/** A browser with the profile that is kept; where another command uses that, or its port, one with a fresh profile. */
async function openBrowser(
  start: BrowserStart,
  mounts: Record<string, string>,
): Promise<{ context: BrowserContext; server: StaticServer; release(): Promise<void> }> {
  // Commands close it themselves, some after they have asked the page for what it has.
  const launch = { ...start, handleSIGINT: false };
  const release = await tryProcessLock(join(PROFILE, 'lock'));
  const server =
    release === null
      ? null
      : await startStaticServer({ mounts, port: PROFILE_PORT }).catch((error: NodeJS.ErrnoException) => {
          if (error.code === 'EADDRINUSE') return null;
          throw error;
        });
  if (release !== null && server !== null) {
    const profile = join(PROFILE, 'profile');
    await mkdir(profile, { recursive: true });
    return { context: await chromium.launchPersistentContext(profile, launch), server, release };
  }
  await release?.();
  const browser = await chromium.launch(launch);
  return {
    context: await browser.newContext(),
    server: await startStaticServer({ mounts }),
    release: async () => {},
  };
}
