import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkManagedFile, HearthError, makeManagedFile, makePrivateDirectory } from '../../core/index.ts';

const KEY_BYTES = 32;

export interface InstallKey {
  /** null where none was made yet. Throws trust_tampered for a file that is no key. */
  read(): Buffer | null;
  /** Made with the first seal. */
  obtain(): Promise<Buffer>;
}

/** The secret of this installation that seals policy and state: `<home>/trust/install.key`, 0600 (docs/spec/security.md §3). */
export function createInstallKey(directory: string): InstallKey {
  const path = join(directory, 'install.key');
  let known: Buffer | null = null;

  function read(): Buffer | null {
    if (known !== null) return known;
    if (!checkManagedFile(path)) return null;
    const bytes = readFileSync(path);
    if (bytes.length !== KEY_BYTES) throw new HearthError('trust_tampered', `${path} is not the key that hearth wrote: it has ${bytes.length} bytes.`);
    known = bytes;
    return known;
  }

  return {
    read,
    async obtain() {
      const there = read();
      if (there !== null) return there;
      await makePrivateDirectory(dirname(path));
      if (!makeManagedFile(path, randomBytes(KEY_BYTES))) await isWhole(path);
      const made = read();
      if (made === null) throw new HearthError('trust_tampered', `${path} went away while it was made.`);
      return made;
    },
  };
}

/** Another process was faster, and may not have written it yet. */
async function isWhole(path: string): Promise<void> {
  for (let turn = 0; turn < 100 && (statSync(path, { throwIfNoEntry: false })?.size ?? KEY_BYTES) < KEY_BYTES; turn += 1) await sleep(10);
}
