/** What a page can tell of the machine it runs on. Nothing of it leaves the device but in a report that is exported. */
import { deviceMemoryGib } from '../base/device-memory.ts';
import type { AdapterReport, LoadedModelFacts } from '../engine/api.ts';
import type { MachineCard } from './report.ts';

/** The part of the machine card that does not come from the engine. */
export type HostFacts = Omit<
  MachineCard,
  'adapter' | 'deviceLimits' | 'deviceFeatures' | 'clockResolutionMs'
>;

export function buildMachineCard(
  host: HostFacts,
  adapter: AdapterReport,
  { deviceLimits, deviceFeatures }: LoadedModelFacts,
  clockResolutionMs: number,
): MachineCard {
  return { ...host, adapter, deviceLimits, deviceFeatures, clockResolutionMs };
}

/** Not in TypeScript's DOM library: https://wicg.github.io/ua-client-hints/ and https://www.w3.org/TR/battery-status/ */
interface BrowserNavigator {
  userAgentData?: {
    getHighEntropyValues(names: readonly string[]): Promise<{
      platform?: string;
      platformVersion?: string;
      architecture?: string;
      fullVersionList?: readonly { brand: string; version: string }[];
    }>;
  };
  getBattery?(): Promise<{ charging: boolean; level: number }>;
}

export async function readBrowserHost(): Promise<HostFacts> {
  const { userAgent, hardwareConcurrency } = navigator;
  const hints = await (navigator as BrowserNavigator).userAgentData?.getHighEntropyValues([
    'platformVersion',
    'architecture',
    'fullVersionList',
  ]);
  const os = [hints?.platform, hints?.platformVersion, hints?.architecture].filter(Boolean).join(' ');
  return {
    runtime: 'browser',
    program: programOf(hints?.fullVersionList ?? []) ?? programFromUserAgent(userAgent),
    userAgent,
    os: os || osFromUserAgent(userAgent),
    cores: hardwareConcurrency,
    processor: null,
    memoryGib: deviceMemoryGib(),
    crossOriginIsolated: globalThis.crossOriginIsolated,
    power: await readPower(),
  };
}

/** Of a list that has invented brands in it on purpose; a browser's own name is more telling than its engine's. */
function programOf(brands: readonly { brand: string; version: string }[]): string | null {
  const real = brands.filter(({ brand }) => !/not.?a.?brand/i.test(brand.replaceAll(/[^a-z]/gi, '')));
  const named = real.find(({ brand }) => brand !== 'Chromium') ?? real[0];
  return named === undefined ? null : `${named.brand} ${named.version}`;
}

/** For browsers without client hints: Firefox and Safari. */
export function programFromUserAgent(userAgent: string): string {
  const firefox = /Firefox\/([\d.]+)/.exec(userAgent);
  if (firefox !== null) return `Firefox ${firefox[1]}`;
  const safari = /Version\/([\d.]+) (?:Mobile\/\w+ )?Safari/.exec(userAgent);
  if (safari !== null) return `Safari ${safari[1]}`;
  const chromium = /Chrome\/([\d.]+)/.exec(userAgent);
  return chromium === null ? userAgent : `Chromium ${chromium[1]}`;
}

function osFromUserAgent(userAgent: string): string {
  return /\(([^)]*)\)/.exec(userAgent)?.[1] ?? 'unknown';
}

async function readPower(): Promise<string | null> {
  const battery = await (navigator as BrowserNavigator).getBattery?.();
  if (battery === undefined) return null;
  if (battery.charging) return 'mains';
  return `battery ${Math.round(battery.level * 100)} %, discharging`;
}
