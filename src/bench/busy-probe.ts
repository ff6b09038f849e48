/**
 * Whether somebody else had the processor while a sample was taken. Node can ask the system (scripts/lib/
 * processor-probe.ts); a page can only notice that its own timers come late, or that it is hidden.
 */
export interface Disturber {
  /** `busy`: other programs of this machine. `stolen`: the host of a virtual machine, for whatever else it runs. */
  kind: 'busy' | 'stolen';
  /** What was seen, as the second half of a sentence. */
  text: string;
}

export interface BusyWatch {
  /** @returns null where the sample was undisturbed */
  stop(): Promise<Disturber | null>;
}

export interface BusyProbe {
  /** True where a disturbed sample is worth taking again: the probe tells reliably when the disturbance is over. */
  repeats: boolean;
  start(): Promise<BusyWatch>;
}

const TICK_MS = 20;
/** On an idle machine timers are a few milliseconds late. */
const LATE_MS = 25;
/** A software adapter is itself what keeps the processor busy. */
const LATE_SOFTWARE_MS = 150;
const LEAST_TICKS = 5;

/** For pages. Its thread only waits while the worker computes, so late timers mean that others have the processor. */
export function createTimerProbe(isSoftware: boolean): BusyProbe {
  const limitMs = isSoftware ? LATE_SOFTWARE_MS : LATE_MS;
  return {
    repeats: false,
    async start() {
      const lateness: number[] = [];
      let wasHidden = document.hidden;
      let last = performance.now();
      const timer = setInterval(() => {
        const time = performance.now();
        lateness.push(Math.max(0, time - last - TICK_MS));
        last = time;
      }, TICK_MS);
      const onVisibility = () => {
        wasHidden ||= document.hidden;
      };
      document.addEventListener('visibilitychange', onVisibility);
      return {
        async stop() {
          clearInterval(timer);
          document.removeEventListener('visibilitychange', onVisibility);
          if (wasHidden) return { kind: 'busy', text: 'the page was hidden' };
          if (lateness.length < LEAST_TICKS) return null;
          const mean = lateness.reduce((sum, late) => sum + late, 0) / lateness.length;
          return mean > limitMs ? { kind: 'busy', text: `timers came ${Math.round(mean)} ms late` } : null;
        },
      };
    },
  };
}

/** Where nothing can be known. */
export const blindProbe: BusyProbe = {
  repeats: false,
  start: async () => ({ stop: async () => null }),
};
