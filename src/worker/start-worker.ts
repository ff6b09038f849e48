/**
 * Starts a worker from a blob that imports its module: a worker started from a URL has a content security policy of its
 * own (none, on a plain static host), one started from a blob inherits the page's, and may be started by a page of
 * another origin. The worker posts `{ kind: 'ready' }` once it runs.
 */
export function startModuleWorker(url: string): Worker {
  const moduleUrl = new URL(url, import.meta.url).href;
  const source = `import ${JSON.stringify(moduleUrl)};`;
  const blobUrl = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  // In a blob worker `location` is the blob's; the worker learns the page's address from its name.
  const worker = new Worker(blobUrl, { type: 'module', name: document.baseURI });
  const onReady = ({ data }: MessageEvent) => {
    if (data?.kind !== 'ready') return;
    URL.revokeObjectURL(blobUrl);
    worker.removeEventListener('message', onReady);
  };
  worker.addEventListener('message', onReady);
  return worker;
}
