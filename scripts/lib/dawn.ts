/**
 * Makes Node a place where unmodified WebLLM runs: WebGPU by Dawn (npm `webgpu`), and the few names that WebLLM's
 * bundle, made for browsers, takes for granted.
 */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface DawnOptions {
  /** Vulkan driver to use: path of an ICD's JSON. Default: the system's choice, or `VK_ICD_FILENAMES`. */
  icd?: string;
}

let installed = false;

function define(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

/** Leaves a `navigator.gpu` that is there already as it is. Calls after the first do nothing. */
export async function installDawn(options: DawnOptions = {}): Promise<void> {
  if (installed) return;
  installed = true;
  if (options.icd !== undefined) process.env.VK_ICD_FILENAMES = options.icd;
  if ((globalThis.navigator as Navigator | undefined)?.gpu === undefined) {
    // Dawn loads its driver with this import, hence after the environment is set.
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    define('navigator', { gpu: create([]), userAgent: 'node' });
  }
  installWebLlmGlobals();
}

/**
 * WebLLM 0.2.86 resolves URLs against `location.origin`. Its Emscripten parts notice Node and then expect CommonJS:
 * `__dirname` and `module` in the runtime's glue, `createRequire` and `location.href` in the tokenizer's and grammar's,
 * whose wasm is embedded all the same, so nothing is read from these paths. Remove with a WebLLM that runs in Node.
 */
function installWebLlmGlobals(): void {
  const here = import.meta.url;
  define('location', { href: here, origin: 'http://localhost' });
  define('__dirname', dirname(fileURLToPath(here)));
  define('module', { exports: {} });
  define('createRequire', createRequire);
  ignoreEmscriptenListeners();
}

/** Each load would add a listener for uncaught exceptions that does nothing but throw them again. */
function ignoreEmscriptenListeners(): void {
  const addListener = process.on;
  const filtered: typeof addListener = (event, listener) => {
    const isEmscripten = event === 'uncaughtException' && String(listener).includes('ExitStatus');
    return isEmscripten ? process : addListener.call(process, event, listener);
  };
  process.on = filtered;
}
