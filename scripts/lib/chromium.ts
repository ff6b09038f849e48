/** Chrome or Chromium as installed on this machine, and how commands start it to have the machine's GPU. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { TramontaneError } from '../../src/base/errors.ts';
import type { AdapterReport } from '../../src/engine/api.ts';

/** Flags for a quiet headless browser with WebGPU. */
export const quietArguments: readonly string[] = [
  '--enable-unsafe-webgpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Chromium's sandbox refuses to run as root, which containers usually are.
  ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
];

const candidates: Record<string, string[]> = {
  linux: [
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome-stable',
    '/usr/bin/google-chrome',
    '/opt/google/chrome/chrome',
    '/snap/bin/chromium',
    '/usr/bin/microsoft-edge',
  ],
  darwin: [
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    join(homedir(), 'Applications/Google Chrome.app/Contents/MacOS/Google Chrome'),
    '/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge',
  ],
  win32: ['PROGRAMFILES', 'PROGRAMFILES(X86)', 'LOCALAPPDATA'].flatMap((variable) => {
    const root = process.env[variable];
    return root === undefined
      ? []
      : [
          join(root, 'Google/Chrome/Application/chrome.exe'),
          join(root, 'Microsoft/Edge/Application/msedge.exe'),
        ];
  }),
};

/** Path of the installed browser, or null. `TRAMONTANE_CHROMIUM` overrides. */
export function findChromium(): string | null {
  const override = process.env.TRAMONTANE_CHROMIUM;
  if (override) return existsSync(override) ? override : null;
  return (candidates[process.platform] ?? []).find((path) => existsSync(path)) ?? null;
}

/** @throws TramontaneError `webgpu-unavailable` where there is none */
export function requireChromium(): string {
  const path = findChromium();
  if (path !== null) return path;
  throw new TramontaneError('webgpu-unavailable', 'No Chrome or Chromium was found on this machine.', {
    nextStep:
      'Install Chrome or Chromium (on Debian: apt-get install chromium), or set TRAMONTANE_CHROMIUM to its path.',
  });
}

/**
 * Flags by which a headless browser gets at the GPU. On Linux it has no other adapter than SwiftShader without them
 * (https://developer.chrome.com/blog/supercharge-web-ai-testing); elsewhere none are needed.
 */
export function gpuArguments(platform: NodeJS.Platform): readonly string[] {
  if (platform !== 'linux') return [];
  return [
    // Of several such flags the last counts. Playwright's own keeps Chromium from asking Google for accounts.
    '--enable-features=Vulkan,SkipListAccountsWithoutGaiaCookies',
    '--use-angle=vulkan',
    '--disable-vulkan-surface',
  ];
}

interface OpenBrowser {
  /** Null where it offers no WebGPU. */
  adapter: AdapterReport | null;
  close(): Promise<void>;
}

/**
 * Opens a browser that has the machine's GPU; where that has no WebGPU at all, for want of a Vulkan driver perhaps, one
 * with software WebGPU. Tells of software on stderr.
 * @param open gets the flags to start it with
 */
export async function openOnGpu<T extends OpenBrowser>(
  open: (browserArguments: string[]) => Promise<T>,
): Promise<T> {
  const further = gpuArguments(process.platform);
  let browser = await open([...quietArguments, ...further]);
  if (browser.adapter === null && further.length > 0) {
    await browser.close();
    browser = await open([...quietArguments]);
  }
  warnOfSoftware(browser.adapter);
  return browser;
}

/** One line on stderr, with what to do, where an adapter is no GPU. */
export function warnOfSoftware(adapter: AdapterReport | null): void {
  if (adapter?.isSoftware !== true) return;
  const name = adapter.description || `${adapter.vendor} ${adapter.architecture}`.trim();
  process.stderr.write(
    `No GPU was found that WebGPU can use: this runs on the processor (${name}), slowly. What to do: README.md, "Commands".\n`,
  );
}
