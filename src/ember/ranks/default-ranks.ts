import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface RankFacts {
  /** os.availableParallelism(). */
  readonly availableParallelism: number;
  /** CPUs that the cgroup grants; null = no limit. */
  readonly cgroupQuotaCpus: number | null;
  /** `engines.ember.threads`. */
  readonly override?: number | undefined;
}

/** Compute threads of one model: what the machine gives, one left to the control thread from 4 on (docs/spec/engines.md §2.3). */
export function defaultRanks({ availableParallelism, cgroupQuotaCpus, override }: RankFacts): number {
  if (override !== undefined) return Math.max(1, Math.min(override, availableParallelism));
  const cpus = Math.max(1, Math.min(availableParallelism, Math.floor(cgroupQuotaCpus ?? availableParallelism)));
  return cpus >= 4 ? cpus - 1 : cpus;
}

/** CPUs that the cgroup of this process grants: the smallest quota up to the root, version 2 or 1; null = no limit, or not Linux. */
export function readCgroupQuotaCpus(root = '/'): number | null {
  const memberships = read(join(root, 'proc/self/cgroup')) ?? '';
  const quotas: number[] = [];
  for (const line of memberships.split('\n')) {
    const [hierarchy, controllers, path] = line.split(':');
    if (path === undefined) continue;
    if (hierarchy === '0') collect(join(root, 'sys/fs/cgroup'), path, quotaOfVersion2, quotas);
    else if (controllers!.split(',').includes('cpu')) {
      const mount = ['sys/fs/cgroup/cpu', `sys/fs/cgroup/${controllers}`].map((m) => join(root, m)).find((m) => existsSync(m));
      if (mount) collect(mount, path, quotaOfVersion1, quotas);
    }
  }
  return quotas.length === 0 ? null : Math.min(...quotas);
}

/** A container sees its own group as the mount's root, while /proc may tell the path outside: every level that exists counts. */
function collect(mount: string, path: string, quotaOf: (directory: string) => number | null, quotas: number[]): void {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  for (let depth = parts.length; depth >= 0; depth--) {
    const quota = quotaOf(join(mount, ...parts.slice(0, depth)));
    if (quota !== null) quotas.push(quota);
  }
}

function quotaOfVersion2(directory: string): number | null {
  const [quota, period] = (read(join(directory, 'cpu.max')) ?? 'max').trim().split(' ').map(Number);
  return quota !== undefined && period !== undefined && quota > 0 && period > 0 ? quota / period : null;
}

function quotaOfVersion1(directory: string): number | null {
  const quota = Number(read(join(directory, 'cpu.cfs_quota_us')) ?? -1);
  const period = Number(read(join(directory, 'cpu.cfs_period_us')) ?? 0);
  return quota > 0 && period > 0 ? quota / period : null;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
