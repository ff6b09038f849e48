/**
 * The service worker's side of the page. It keeps the app shell, so that the page opens without a network; an update
 * waits until the person agrees, and only the tab in which they did reloads.
 */
export interface OfflineState {
  /** The page will open without a network. */
  isReady: boolean;
  /** Present when a newer version waits. Calling it takes the version over and reloads. */
  update: (() => void) | null;
}

/** @param onChange Called with every new state. Does nothing in development, or where there are no service workers. */
export async function startOffline(onChange: (state: OfflineState) => void): Promise<void> {
  if (import.meta.env.DEV || !('serviceWorker' in navigator)) return;
  const container = navigator.serviceWorker;
  let registration: ServiceWorkerRegistration;
  try {
    registration = await container.register('./service-worker.js', { scope: './' });
  } catch (error) {
    // Private windows and file: pages may not have one. The page works, with a network.
    console.warn('Tramontane will not open without a network:', error);
    return;
  }
  let hasAgreed = false;
  container.addEventListener('controllerchange', () => {
    if (hasAgreed) location.reload();
  });
  const report = () => {
    const waiting = registration.waiting;
    onChange({
      isReady: registration.active !== null,
      update:
        waiting === null
          ? null
          : () => {
              hasAgreed = true;
              waiting.postMessage({ type: 'SKIP_WAITING' });
            },
    });
  };
  const watch = (worker: ServiceWorker | null) => worker?.addEventListener('statechange', report);
  registration.addEventListener('updatefound', () => watch(registration.installing));
  watch(registration.installing);
  report();
}
