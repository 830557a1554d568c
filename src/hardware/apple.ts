/** Memory bandwidth of Apple chips in GB/s (docs/spec/stack.md §3). Where core counts differ in bandwidth, `binned` says below which count the lower value holds. */
interface ChipBandwidth {
  readonly full: number;
  readonly binned?: { readonly fullCores: number; readonly value: number };
}

const CHIPS: Readonly<Record<string, ChipBandwidth>> = {
  M1: { full: 68.25 },
  'M1 Pro': { full: 200 },
  'M1 Max': { full: 400 },
  'M1 Ultra': { full: 800 },
  M2: { full: 100 },
  'M2 Pro': { full: 200 },
  'M2 Max': { full: 400 },
  'M2 Ultra': { full: 800 },
  M3: { full: 100 },
  'M3 Pro': { full: 150 },
  'M3 Max': { full: 400, binned: { fullCores: 40, value: 300 } },
  'M3 Ultra': { full: 819 },
  M4: { full: 120 },
  'M4 Pro': { full: 273 },
  'M4 Max': { full: 546, binned: { fullCores: 40, value: 410 } },
  M5: { full: 153.6 },
  'M5 Pro': { full: 307 },
  'M5 Max': { full: 614, binned: { fullCores: 40, value: 460 } },
};
/** The lower value's own core counts: those that are known to be binned. */
const BINNED_CORES: Readonly<Record<string, number>> = { 'M3 Max': 30, 'M4 Max': 32, 'M5 Max': 32 };

const BY_MEMORY: readonly (readonly [gib: number, gbps: number])[] = [
  [8, 68],
  [16, 100],
  [32, 200],
  [64, 400],
  [128, 546],
];
const LARGEST = 800;

/** `brand` such as `Apple M4 Pro`. */
export function appleBandwidth(brand: string, gpuCores: number | null, memoryGib: number): { readonly gbps: number; readonly isEstimate: boolean } {
  const name = brand.replace(/^Apple /, '').trim();
  const chip = CHIPS[name];
  if (chip === undefined) return { gbps: BY_MEMORY.find(([gib]) => memoryGib <= gib)?.[1] ?? LARGEST, isEstimate: true };
  if (chip.binned === undefined || gpuCores === chip.binned.fullCores) return { gbps: chip.full, isEstimate: false };
  return { gbps: chip.binned.value, isEstimate: gpuCores !== BINNED_CORES[name] };
}

/** macOS lets the GPU wire this much: the user's own limit, else 2/3 of the memory up to 36 GiB and 3/4 above. */
export function appleDeviceLimit(memoryBytes: number, wiredLimitMb: number): number {
  if (wiredLimitMb > 0) return wiredLimitMb * 2 ** 20;
  return Math.floor(memoryBytes <= 36 * 2 ** 30 ? (memoryBytes * 2) / 3 : (memoryBytes * 3) / 4);
}
