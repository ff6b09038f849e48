/** Finds the browser to test with: Chrome or Chromium as installed on this machine. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Flags for a quiet headless browser with software WebGPU. */
export const chromiumArguments = [
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

/** Where `tests/tools/chromium-f16/setup.sh` puts the browser whose software WebGPU has shader-f16. */
export const f16ChromiumPath = resolve(
  fileURLToPath(new URL('../../.cache/chromium-f16/chromium', import.meta.url)),
);
