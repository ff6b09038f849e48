/**
 * What a prebuilt model library asks of a GPU. Kernels lie in it as WGSL text, which names what it uses beyond the core
 * (`enable f16;`). One kernel that a device cannot compile fails a load.
 */
import { TramontaneError } from '../base/errors.ts';
import type { LibraryFacts } from '../storage/weight-store.ts';

/** Name under which a prebuilt model library lies beside the weights. */
export const LIBRARY_FILE = 'model-library.wasm';

/** Extensions of WGSL and the WebGPU features that they need. */
const FEATURES = { f16: 'shader-f16', subgroups: 'subgroups' } as const;
type Extension = keyof typeof FEATURES;
type Feature = (typeof FEATURES)[Extension];

/**
 * A directive and its list, which may begin within what looked like one before. Bounded: in bytes that are no WGSL, what
 * follows each `enable` would be searched to the end.
 */
const DIRECTIVE = /enable(?=\s([\w\s,]{1,200});)/g;

const TITLES: Record<Feature, string> = {
  'shader-f16': '16-bit arithmetic (shader-f16)',
  subgroups: 'subgroups',
};

function listFeatures(library: ArrayBuffer): Feature[] {
  // One character a byte, whatever they are.
  const text = new TextDecoder('latin1').decode(library);
  const names = new Set<string>();
  for (const [, list] of text.matchAll(DIRECTIVE)) {
    for (const name of list!.split(',')) names.add(name.trim());
  }
  return (Object.keys(FEATURES) as Extension[])
    .filter((name) => names.has(name))
    .map((name) => FEATURES[name]);
}

/** @param library a WebAssembly module */
export function describeLibrary(library: ArrayBuffer): LibraryFacts {
  return { needsShaderF16: listFeatures(library).includes('shader-f16') };
}

/**
 * @param caps of the device, as the load may use it
 * @throws TramontaneError `feature-missing`
 */
export function requireFeatures(
  library: ArrayBuffer,
  caps: { shaderF16: boolean; subgroups: boolean },
): void {
  const has: Record<Feature, boolean> = { 'shader-f16': caps.shaderF16, subgroups: caps.subgroups };
  const missing = listFeatures(library).filter((feature) => !has[feature]);
  if (missing.length === 0) return;
  const names = missing.map((feature) => TITLES[feature]).join(' and ');
  throw new TramontaneError(
    'feature-missing',
    `This model's prebuilt library needs ${names}, which the GPU, or its driver, does not offer to this browser.`,
    {
      nextStep:
        'Choose a model that is not prebuilt: its library is made for your GPU. Or use another GPU, or a newer driver.',
      data: { missing },
    },
  );
}
