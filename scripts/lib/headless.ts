/** The built site in a headless Chrome or Chromium, driven by a command: what a visitor's browser would run. */
import { chromium, type Page } from 'playwright';
import { TramontaneError } from '../../src/base/errors.ts';
import { chromiumArguments, findChromium } from '../../tests/tools/chromium.ts';
import type { ResolvedModel } from './model-argument.ts';
import { SITE } from './site.ts';
import { startStaticServer } from './static-server.mjs';

export interface HeadlessSite {
  page: Page;
  /** Where the model's files are served, relative to the site. */
  modelUrl: string;
  close(): Promise<void>;
}

/** The site must have been built. @throws TramontaneError `webgpu-unavailable` where there is no browser to run it in */
export async function openHeadlessSite(model: ResolvedModel): Promise<HeadlessSite> {
  const executablePath = findChromium();
  if (executablePath === null) {
    throw new TramontaneError('webgpu-unavailable', 'No Chrome or Chromium was found on this machine.', {
      nextStep:
        'Install Chrome or Chromium (on Debian: apt-get install chromium), or set TRAMONTANE_CHROMIUM to its path.',
    });
  }
  const server = await startStaticServer({ mounts: { '/': SITE, '/command-model/': model.folder } });
  const browser = await chromium.launch({
    executablePath,
    args: chromiumArguments,
    // Commands close it themselves, some after they have asked the page for what it has.
    handleSIGINT: false,
  });
  const close = async () => {
    await browser.close();
    await server.close();
  };
  try {
    const page = await browser.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') process.stderr.write(`[page] ${message.text()}\n`);
    });
    // esbuild, which runs these scripts, wraps named functions in a helper that the page does not have.
    await page.addInitScript('globalThis.__name = (value) => value;');
    await page.goto(new URL('ask.html', server.url).href);
    await page.waitForFunction(() => 'tramontane' in globalThis);
    return { page, modelUrl: new URL('command-model/', server.url).href, close };
  } catch (error) {
    await close();
    throw error;
  }
}
