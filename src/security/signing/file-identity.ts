import type { BigIntStats } from 'node:fs';
import type { FileIdentity } from './types.ts';

export const identityOf = (facts: Pick<BigIntStats, 'dev' | 'ino' | 'size' | 'mtimeNs' | 'ctimeNs'>): FileIdentity => ({
  dev: String(facts.dev),
  ino: String(facts.ino),
  size: Number(facts.size),
  mtimeNs: String(facts.mtimeNs),
  ctimeNs: String(facts.ctimeNs),
});

export const sameIdentity = (a: FileIdentity, b: FileIdentity): boolean =>
  a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
