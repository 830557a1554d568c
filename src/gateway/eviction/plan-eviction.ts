/** A loaded model as eviction sees it. */
export interface Resident {
  readonly key: string;
  readonly bytes: number;
  readonly lastUsedMs: number;
  readonly pinned: boolean;
  readonly idle: boolean;
}

/**
 * Which idle, unpinned models to unload so that `neededBytes` fit: least recently used first, then every victim that
 * turns out unneeded is taken back. null when even all candidates are not enough (docs/spec/serving.md §5.2).
 */
export function planEviction(plan: {
  readonly neededBytes: number;
  readonly freeBytes: number;
  readonly residents: readonly Resident[];
}): readonly string[] | null {
  let free = plan.freeBytes;
  const victims: Resident[] = [];
  for (const resident of plan.residents.filter(({ idle, pinned }) => idle && !pinned).sort((a, b) => a.lastUsedMs - b.lastUsedMs)) {
    if (free >= plan.neededBytes) break;
    victims.push(resident);
    free += resident.bytes;
  }
  if (free < plan.neededBytes) return null;
  return victims
    .toSorted((a, b) => b.lastUsedMs - a.lastUsedMs)
    .filter((victim) => {
      if (free - victim.bytes < plan.neededBytes) return true;
      free -= victim.bytes;
      return false;
    })
    .map(({ key }) => key);
}
