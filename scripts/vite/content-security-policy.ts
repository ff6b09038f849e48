/**
 * The pages' Content-Security-Policy (docs/design: "closed by default"), written as a meta tag into every page, in
 * `vite dev` as in the build, so that what is developed is what is shipped.
 *
 * A meta policy governs the page and workers started from a blob (they inherit it). It does not govern the service
 * worker, whose policy would come from response headers; that one only reads this origin's own files.
 */
import type { Plugin } from 'vite';

export type ContentSecurityPolicy = Readonly<Record<string, readonly string[]>>;

/** Nothing but this origin. */
const closedPolicy: ContentSecurityPolicy = {
  'default-src': ["'none'"],
  'script-src': ["'self'", "'wasm-unsafe-eval'"],
  // blob: the engine's worker; 'self': the service worker.
  'worker-src': ['blob:', "'self'"],
  'connect-src': ["'self'", 'blob:'],
  'style-src': ["'self'"],
  'img-src': ["'self'", 'data:', 'blob:'],
  'manifest-src': ["'self'"],
  'font-src': ["'self'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
};

/** The import page reads models from wherever a person says: over TLS, or from this machine. */
const importPolicy: ContentSecurityPolicy = {
  ...closedPolicy,
  'connect-src': ["'self'", 'blob:', 'https:', 'http://localhost:*', 'http://127.0.0.1:*'],
};

export function policyOfPage(page: string): ContentSecurityPolicy {
  return page === 'import.html' ? importPolicy : closedPolicy;
}

export function formatPolicy(policy: ContentSecurityPolicy): string {
  return Object.entries(policy)
    .map(([directive, sources]) => [directive, ...sources].join(' '))
    .join('; ');
}

/**
 * @param policyOf Chooses the policy of a page by its file name.
 */
export function contentSecurityPolicy(policyOf: (page: string) => ContentSecurityPolicy): Plugin {
  return {
    name: 'tramontane-content-security-policy',
    transformIndexHtml: {
      order: 'pre',
      handler: (_html, context) => [
        {
          tag: 'meta',
          attrs: {
            'http-equiv': 'Content-Security-Policy',
            content: formatPolicy(policyOf(context.path.replace(/^\//, ''))),
          },
          injectTo: 'head-prepend',
        },
      ],
    },
  };
}
