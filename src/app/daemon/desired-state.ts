import { join } from 'node:path';
import { readManagedFile, writeManagedFile } from '../../core/index.ts';

export type Desired = 'up' | 'down';

const fileOf = (home: string): string => join(home, 'state', 'desired.json');

/** What the user last asked for; null when nobody has asked yet, or what is written cannot be read. */
export function readDesired(home: string): Desired | null {
  const path = fileOf(home);
  try {
    const { desired } = JSON.parse(readManagedFile(path) ?? '{}') as { desired?: unknown };
    return desired === 'up' || desired === 'down' ? desired : null;
  } catch {
    return null;
  }
}

export const writeDesired = (home: string, desired: Desired): Promise<void> => writeManagedFile(fileOf(home), `${JSON.stringify({ desired, tiers: {} })}\n`);
