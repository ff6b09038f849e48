/** The browsers to test with, and how they are started. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quietArguments } from '../../scripts/lib/chromium.ts';

/** Flags for a quiet headless browser with software WebGPU, whatever GPU the machine has. */
export const chromiumArguments = [...quietArguments, '--use-webgpu-adapter=swiftshader'];

/** Where `tests/tools/chromium-f16/setup.sh` puts the browser whose software WebGPU has shader-f16. */
export const f16ChromiumPath = resolve(
  fileURLToPath(new URL('../../.cache/chromium-f16/chromium', import.meta.url)),
);
