import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultRanks, readCgroupQuotaCpus } from './default-ranks.ts';

describe('defaultRanks', () => {
  it.each([
    [8, 1, 1],
    [8, 2, 2],
    [8, 4, 3],
    [8, null, 7],
    [2, null, 2],
    [3, null, 3],
    [1, null, 1],
    [8, 0.5, 1],
    [8, 3.9, 3],
    [2, 6, 2],
  ])('%i processors under a quota of %s give %i ranks', (availableParallelism, cgroupQuotaCpus, ranks) => {
    expect(defaultRanks({ availableParallelism, cgroupQuotaCpus })).toBe(ranks);
  });

  it('an override counts, but never above the processors', () => {
    expect(defaultRanks({ availableParallelism: 8, cgroupQuotaCpus: 2, override: 5 })).toBe(5);
    expect(defaultRanks({ availableParallelism: 8, cgroupQuotaCpus: null, override: 64 })).toBe(8);
    expect(defaultRanks({ availableParallelism: 8, cgroupQuotaCpus: null, override: 0 })).toBe(1);
  });
});

describe('readCgroupQuotaCpus', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'hearth-cgroup-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const file = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };

  it('takes the smallest quota of the group and its parents (version 2)', () => {
    file('proc/self/cgroup', '0::/user.slice/app.scope\n');
    file('sys/fs/cgroup/user.slice/app.scope/cpu.max', 'max 100000\n');
    file('sys/fs/cgroup/user.slice/cpu.max', '250000 100000\n');
    expect(readCgroupQuotaCpus(root)).toBe(2.5);
  });

  it('finds the quota at the root of a container whose path is told from outside', () => {
    file('proc/self/cgroup', '0::/docker/abc\n');
    file('sys/fs/cgroup/cpu.max', '150000 100000\n');
    expect(readCgroupQuotaCpus(root)).toBe(1.5);
  });

  it('reads version 1', () => {
    file('proc/self/cgroup', '7:memory:/x\n4:cpu,cpuacct:/box\n');
    file('sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us', '400000\n');
    file('sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us', '100000\n');
    expect(readCgroupQuotaCpus(root)).toBe(4);
  });

  it('no limit and no cgroup give null', () => {
    expect(readCgroupQuotaCpus(root)).toBeNull();
    file('proc/self/cgroup', '4:cpu:/\n');
    file('sys/fs/cgroup/cpu/cpu.cfs_quota_us', '-1\n');
    file('sys/fs/cgroup/cpu/cpu.cfs_period_us', '100000\n');
    expect(readCgroupQuotaCpus(root)).toBeNull();
  });
});
