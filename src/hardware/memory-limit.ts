/** Reads a small text file; null when it is not there. */
export type ReadText = (path: string) => Promise<string | null>;

const ROOT = '/sys/fs/cgroup';

/**
 * The smallest memory limit that this process's control groups set, in bytes; null without one.
 * Version 2 limits apply on every level of the tree, so each parent is asked; version 1 has one file.
 */
export async function cgroupMemoryLimit(readText: ReadText): Promise<number | null> {
  const membership = (await readText('/proc/self/cgroup')) ?? '';
  const limits: number[] = [];
  const unified = /^0::(\/.*)$/m.exec(membership)?.[1];
  if (unified !== undefined) for (const path of selfAndParents(unified)) addLimit(limits, await readText(`${ROOT}${path}/memory.max`));
  const legacy = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m.exec(membership)?.[1];
  if (legacy !== undefined) for (const path of selfAndParents(legacy)) addLimit(limits, await readText(`${ROOT}/memory${path}/memory.limit_in_bytes`));
  return limits.length === 0 ? null : Math.min(...limits);
}

function selfAndParents(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  return parts.map((_, index) => `/${parts.slice(0, parts.length - index).join('/')}`).concat('');
}

function addLimit(limits: number[], text: string | null): void {
  const value = Number(text?.trim() || Number.NaN);
  // Version 1 writes a huge number for "no limit", version 2 the word "max".
  if (Number.isFinite(value) && value > 0 && value < 2 ** 60) limits.push(value);
}
