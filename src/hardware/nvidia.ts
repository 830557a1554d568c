import type { Gpu } from './profile.ts';

export const NVIDIA_QUERY: readonly string[] = ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader,nounits'];

/** Memory bandwidth in GB/s by a part of the name; the longer part first. */
const BANDWIDTH: readonly (readonly [name: string, gbps: number])[] = [
  ['H200', 4800],
  ['H100', 3350],
  ['A100', 2039],
  ['L40S', 864],
  ['RTX 5090', 1792],
  ['RTX 4090', 1008],
  ['RTX 3090', 936],
  ['RTX 3060', 360],
  ['A10', 600],
  ['L4', 300],
  ['T4', 320],
];
const UNKNOWN_GBPS = 400;

/** Lines of the query: `name, memory in MiB, driver`. Lines of another shape are left out. */
export function parseNvidiaQuery(output: string): Gpu[] {
  return output.split('\n').flatMap((line) => {
    const [name, memory, driver] = line.split(',').map((cell) => cell.trim());
    const mebibytes = Number(memory);
    if (name === undefined || name === '' || !(mebibytes > 0)) return [];
    return [{ name, memoryBytes: mebibytes * 2 ** 20, driver: driver === undefined || driver === '' ? null : driver }];
  });
}

export function nvidiaBandwidth(name: string): { readonly gbps: number; readonly isEstimate: boolean } {
  const known = BANDWIDTH.find(([part]) => new RegExp(`\\b${part}\\b`).test(name));
  return known === undefined ? { gbps: UNKNOWN_GBPS, isEstimate: true } : { gbps: known[1], isEstimate: false };
}
