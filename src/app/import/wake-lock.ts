/** Keeps the screen, and with it the computer, awake: one that falls asleep stops an import of hours. */

/**
 * Holds a screen wake lock until `signal` aborts. The browser takes it away whenever the page is hidden, so it is asked
 * for again each time the page is seen. Where there is none to be had (no such API, a battery saver), nothing happens.
 */
export function holdWakeLock(signal: AbortSignal): void {
  // Absent in older browsers and outside of secure contexts.
  const { wakeLock } = navigator as { wakeLock?: WakeLock };
  if (wakeLock === undefined || signal.aborted) return;
  let isAsking = false;
  let held: WakeLockSentinel | null = null;
  const ask = async (): Promise<void> => {
    if (isAsking || document.visibilityState !== 'visible' || held?.released === false) return;
    isAsking = true;
    try {
      held = await wakeLock.request('screen');
      if (signal.aborted) await held.release();
    } catch {
      // Refused: the import runs all the same.
    } finally {
      isAsking = false;
    }
  };
  const onVisibility = () => void ask();
  document.addEventListener('visibilitychange', onVisibility, { signal });
  signal.addEventListener('abort', () => void held?.release(), { once: true });
  void ask();
}
